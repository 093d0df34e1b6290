// The plugin under the runtimes that call it, with no other plugin there. Each runs in network, mount and pid
// namespaces of its own, with directories of its own; their death takes everything along.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { plugin } from './cni-fixture.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync('/var/tmp/hf-cni-')
  for (const directory of [
    'rootfs/bin',
    'rootfs/etc',
    'rootfs/proc',
    'rootfs/sys',
    'rootfs/dev',
    'rootfs/tmp',
    'rootfs/run',
    'net',
  ])
    mkdirSync(join(root, directory), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'rootfs/bin/busybox'))
  for (const applet of ['sh', 'httpd', 'ip', 'nslookup', 'ping', 'wget'])
    symlinkSync('busybox', join(root, 'rootfs/bin', applet))
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

/** Podman's plugin for names, of Debian's golang-github-containernetworking-plugin-dnsname. */
const dnsname = '/usr/lib/cni/dnsname'

const has = (...programs: string[]) =>
  programs.every((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0)

/** The network's configuration, with this plugin and no other; `chained`: but those behind it. */
function conflist(name: string, ...chained: object[]): string {
  const ipam = { ranges: [[{ subnet: '10.88.0.0/16' }]], routes: [{ dst: '0.0.0.0/0' }] }
  const capabilities = { portMappings: true, ips: true, mac: true, aliases: true }
  const plugins = [
    { type: 'holdfast-bridge', bridge: 'cni0', isGateway: true, ipMasq: true, ipam, capabilities },
    ...chained,
  ]
  return JSON.stringify({ cniVersion: '0.4.0', name, plugins })
}

/** `podman` and `run`, its shortest way to run something, as functions of the shell. */
const podman = `podman() { command podman --root $ROOT/root --runroot $ROOT/run --tmpdir $ROOT/tmp --storage-driver vfs "$@"; }
       run() { podman run --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"; }`

/** Podman's configuration: plugins and networks of the test's own. */
function podmanEnvironment(): Record<string, string> {
  const file = join(root, 'containers.conf')
  mkdirSync(join(root, 'cni'))
  symlinkSync(plugin, join(root, 'cni/holdfast-bridge'))
  writeFileSync(
    file,
    `[engine]\ncgroup_manager="cgroupfs"\nevents_logger="none"\nruntime="runc"\n[network]\nnetwork_backend="cni"\n` +
      `cni_plugin_dirs=["${root}/cni"]\nnetwork_config_dir="${root}/net"\n`,
  )
  return { CONTAINERS_CONF: file, HOME: root }
}

function isolated(script: string, env: Record<string, string> = {}): string {
  const prepare = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up'
  return execFileSync(
    'unshare',
    ['-n', '-m', '-p', '-f', '--mount-proc', '--kill-child', 'sh', '-ec', `${prepare}\n${script}`],
    {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', ROOT: root, PLUGIN: plugin, ...env },
      timeout: 150_000,
    },
  )
}

/** What is on the host when all containers are gone: nothing but the network itself. */
const leftovers = `echo "left: $(ip -o link | grep -c ': hf' || true) $(nft list map inet hf-cni publish4_any | grep -c elements || true) $(find /run/holdfast -type l | wc -l) $(find /run/holdfast -path '*attachments/*' | wc -l)"`

describe.skipIf(process.getuid?.() !== 0)('runtimes', { timeout: 180_000 }, () => {
  it.skipIf(!has('podman', 'conmon', 'runc'))(
    'podman: ports, names of networks, reload, and nothing left',
    () => {
      const environment = podmanEnvironment()
      writeFileSync(join(root, 'net/87-podman.conflist'), conflist('podman'))
      const output = isolated(
        `${podman}
       mkdir $ROOT/www; echo hello >$ROOT/www/index.html
       run -d --name web -v $ROOT/www:/run -p 8080:80 --rootfs $ROOT/rootfs httpd -f -h /run >/dev/null
       fetch() { for try in 1 2 3 4 5 6 7 8 9; do busybox wget -q -O - "$1" && return; busybox usleep 200000; done; }
       echo "published: $(fetch http://127.0.0.1:8080/)"
       echo "address: $(podman inspect web --format '{{.NetworkSettings.IPAddress}}')"
       podman network reload web >/dev/null
       echo "reloaded: $(fetch http://127.0.0.1:8080/)"
       echo "neighbour: $(run --rm --rootfs $ROOT/rootfs wget -q -O - http://10.88.0.2/)"
       podman rm -f -t 0 web >/dev/null
       ${leftovers}`,
        environment,
      )
      expect(output.split('\n')).toEqual(
        expect.arrayContaining([
          'published: hello',
          'address: 10.88.0.2',
          'reloaded: hello',
          'neighbour: hello',
          'left: 0 0 0 0',
        ]),
      )
    },
  )

  it.skipIf(!has('podman', 'conmon', 'runc', 'dnsmasq') || !existsSync(dnsname))(
    'podman: a dnsname behind it answers names and aliases',
    () => {
      const environment = podmanEnvironment()
      symlinkSync(dnsname, join(root, 'cni/dnsname'))
      const behind = { type: 'dnsname', domainName: 'dns.podman', capabilities: { aliases: true } }
      writeFileSync(join(root, 'net/net1.conflist'), conflist('net1', behind))
      const output = isolated(
        `${podman}
       run -d --name web --network net1 --network-alias www --rootfs $ROOT/rootfs httpd -f -h /tmp >/dev/null
       for name in web www www.dns.podman; do
         echo "$name: $(run --rm --network net1 --rootfs $ROOT/rootfs nslookup $name | grep -c 'Address: 10.88.0.2')"
       done
       podman rm -f -t 0 web >/dev/null
       ${leftovers}`,
        environment,
      )
      expect(output.split('\n')).toEqual(
        expect.arrayContaining(['web: 1', 'www: 1', 'www.dns.podman: 1', 'left: 0 0 0 0']),
      )
    },
  )

  it.skipIf(!has('containerd', 'ctr', 'runc') || !existsSync('/etc/cni'))(
    'ctr run --cni: an address, a way out, and nothing left',
    () => {
      writeFileSync(join(root, 'net/10-net.conflist'), conflist('net1'))
      writeFileSync(
        join(root, 'config.toml'),
        `version = 2\nroot = "${root}/root"\nstate = "${root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n` +
          `[grpc]\naddress = "${root}/c.sock"\n`,
      )
      const output = isolated(
        `mkdir -p /run/plugins /opt/cni/bin; ln -s $PLUGIN /run/plugins/holdfast-bridge
       mount --bind /run/plugins /opt/cni/bin; mkdir -p /etc/cni/net.d; mount --bind $ROOT/net /etc/cni/net.d
       containerd -c $ROOT/config.toml >$ROOT/log 2>&1 &
       for try in $(seq 200); do [ -S $ROOT/c.sock ] && break; busybox usleep 50000; done
       ctr -a $ROOT/c.sock run --rm --cni --snapshotter native --rootfs $ROOT/rootfs c1 \\
         /bin/sh -c 'export PATH=/bin; ip addr show eth0; ip route; ping -c1 -W2 10.88.0.1'
       ${leftovers}; kill $!`,
      )
      expect(output).toContain('inet 10.88.0.2/16')
      expect(output).toContain('default via 10.88.0.1')
      expect(output).toContain('1 packets received')
      expect(output).toContain('left: 0 0 0 0')
    },
  )
})
