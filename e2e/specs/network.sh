# Tests of the network package on the oldest kernel: what development machines' kernels lack (VLANs on bridges, ipvlan,
# SCTP), with br_netfilter loaded, and whose rules depend on the kernel most. A test that is skipped has failed here.
export PATH=/holdfast/.toolchain/node_modules/.bin:$PATH
for module in sctp macvlan ipvlan ifb sch_tbf sch_ingress cls_u32 act_mirred br_netfilter; do modprobe -q $module; done
cd /holdfast/packages/network || exit
files=(vlan sctp cni-options cni-verbs loopback resolver publish policy)
timeout 1500 ../../node_modules/.bin/vitest run --no-file-parallelism --reporter=tap-flat --testTimeout=600000 \
  "${files[@]/%/.root.test.ts}" 2>&1 | sed -E 's/^ok (.*# SKIP)/not ok \1/; /^1\.\.|^TAP/d'
[ "${PIPESTATUS[0]}" = 0 ] && echo 'ok all of them ran' || echo 'not ok all of them ran'
