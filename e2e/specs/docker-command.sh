# The engine on this kernel, through the docker command: what differs between kernels and cgroup versions first of all.
. /holdfast/e2e/vm/check.sh
export DOCKER_HOST=unix:///run/holdfast.sock
group=/sys/fs/cgroup/holdfast

supervisor() {
  /holdfast/tools/hold supervisor --host $DOCKER_HOST --data-root /var/lib/holdfast --exec-root /run/holdfast \
    >>/tmp/supervisor.log 2>&1 &
}
supervisor
soon docker version >/dev/null 2>&1 || { echo 'not ok the supervisor answers'; sed 's/^/# /' /tmp/supervisor.log; exit; }
echo 'ok the supervisor answers'

image=$(mktemp -d)
mkdir -p $image/{bin,etc,tmp,volume}
cp /bin/busybox $image/bin/
busybox --list | while read -r applet; do [ $applet = busybox ] || ln -s busybox $image/bin/$applet; done
echo root:x:0:0::/root:/bin/sh >$image/etc/passwd
echo root:x:0: >$image/etc/group
echo of the image >$image/volume/file
check 'an image is imported' sh -c "tar -C $image -c . | docker import -c 'ENV PATH=/bin' - busybox"

run=(docker run --rm)
check 'output and exit code' gives $'hello\nended with 7' sh -c 'docker run --rm busybox sh -c "echo hello; exit 7"; echo ended with $?'
check 'a user namespace of its own' sh -c 'docker run --rm busybox cat /proc/self/uid_map | grep -Eq "^ +0 +[1-9]"'
check 'files of the image belong to its root' gives 0:0 "${run[@]}" busybox stat -c %u:%g /etc/passwd
check 'files written by root are root’s' gives 0 "${run[@]}" busybox sh -c 'touch /x; stat -c %u /x'
check 'a new volume has what the image has there' gives 'of the image' "${run[@]}" -v one:/volume busybox cat /volume/file
# Debian's docker command does not know that option.
hold=(/holdfast/tools/hold --host $DOCKER_HOST)
check 'a part of a volume' gives 'of the image' "${hold[@]}" run --rm --mount type=volume,src=one,dst=/x,volume-subpath=file busybox cat /x
check 'a bind, mapped' gives 0 sh -c 'mkdir -p /srv/bind; touch /srv/bind/f; docker run --rm -v /srv/bind:/b busybox stat -c %u /b/f'
# tmpfs maps ids since Linux 6.3.
check 'a bind that cannot be mapped says what to do' sh -c 'mkdir -p /tmp/bind; docker run --rm -v /tmp/bind:/b busybox true 2>&1 | grep -q "Use --userns=host"'
check 'a read-only bind' ends 1 "${run[@]}" -v /srv/bind:/b:ro busybox touch /b/g
check 'memory limit' gives 33554432 "${run[@]}" -m 32m busybox cat /sys/fs/cgroup/memory.max
check 'pids limit' gives 9 "${run[@]}" --pids-limit 9 busybox cat /sys/fs/cgroup/pids.max
check 'CPU limit' gives '50000 100000' "${run[@]}" --cpus 0.5 busybox cat /sys/fs/cgroup/cpu.max
check 'cpuset' gives 0 "${run[@]}" --cpuset-cpus 0 busybox cat /sys/fs/cgroup/cpuset.cpus
check 'its cgroup is the root of what it sees' gives '0::/' "${run[@]}" busybox cat /proc/self/cgroup
check 'out of memory ends with 137' ends 137 "${run[@]}" -m 16m --memory-swap 16m busybox sh -c 'tail /dev/zero'
check 'a device that is not allowed' sh -c 'docker run --rm --cap-add MKNOD --userns host busybox sh -c "mknod /d b 254 0 && cat /d" 2>&1 | grep -q "not permitted"'
check 'time of its own' sh -c 'docker run --rm busybox readlink /proc/self/ns/time | grep -q time:'
check 'an init' gives 'holdfast: init' "${run[@]}" --init busybox cat /proc/1/comm

check 'a page from a published port' sh -c 'docker run -d --name web -p 127.0.0.1:8080:80 busybox sh -c "mkdir /w; echo page > /w/index.html; exec httpd -f -h /w"'
check 'a page comes' soon gives page busybox wget -qO- http://127.0.0.1:8080/
check 'exec' gives in docker exec web echo in
check 'exec’s exit code' ends 5 docker exec web sh -c 'exit 5'
check 'pause and unpause' sh -c 'docker pause web && docker unpause web'
check 'another container is reached' gives page sh -c 'docker run --rm busybox wget -qO- http://$(docker inspect -f "{{.NetworkSettings.IPAddress}}" web)/'
check 'top' sh -c 'docker top web | grep -q httpd'

supervisor_pid=$(pgrep -f '^holdfast: supervisor')
check 'the engine is killed' kill -9 "$supervisor_pid"
check 'the container goes on' gives page busybox wget -qO- http://127.0.0.1:8080/
supervisor
check 'the next engine answers' soon docker version
check 'it knows the container' gives running docker inspect -f '{{.State.Status}}' web
check 'a shim is killed' sh -c 'kill -9 $(pgrep -f "^holdfast: shim web")'
check 'another takes over' soon gives back docker exec web echo back
check 'stop' gives 'web' docker stop -t 0 web
check 'the exit is noticed' gives 137 docker wait web
check 'rm' gives web docker rm web
check 'no cgroup is left' soon gives '' find $group -mindepth 1 -type d -name '????????????????????????????????????????????????????????????????'
check 'no link is left' gives '' sh -c 'ip -o link show type veth'
check 'no mount is left' gives '' sh -c 'grep -E "holdfast/(c|shm)/" /proc/self/mounts'
grep -E '"level":[45]0' /tmp/supervisor.log | sed 's/^/# /'
