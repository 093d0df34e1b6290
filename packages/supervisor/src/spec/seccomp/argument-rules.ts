/** Calls that are let through for some arguments only. */
import type { SeccompRule } from '@holdfast/plan'

/**
 * Address families, one by one: a comparison by size could be dodged through the upper half of the register, which
 * the kernel ignores and a filter sees. Not here: AF_ALG (38), the crypto interface with its privilege escalations;
 * AF_VSOCK (40), a line to the hypervisor; and protocols that no container is known to want.
 */
const socketFamilies: Readonly<Record<string, number>> = {
  AF_UNIX: 1,
  AF_INET: 2,
  AF_INET6: 10,
  AF_KEY: 15, // IPsec daemons
  AF_NETLINK: 16,
  AF_PACKET: 17, // with CAP_NET_RAW: dhcp clients, tcpdump
  AF_PPPOX: 24, // l2tp and pppoe clients
  AF_CAN: 29,
  AF_SMC: 43,
  AF_XDP: 44,
}

/**
 * personality(2) values: Linux, its 32-bit uname, both with address randomisation as it is, and the query. Others
 * turn protections off: READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE, MMAP_PAGE_ZERO.
 */
const personalities: Readonly<Record<string, number>> = {
  PER_LINUX: 0x0000_0000,
  PER_LINUX32: 0x0000_0008,
  UNAME26: 0x0002_0000,
  UNAME26_LINUX32: 0x0002_0008,
  query: 0xffff_ffff,
}

/** CLONE_NEW… of clone(2), sched.h. */
const namespaceFlags: Readonly<Record<string, number>> = {
  CLONE_NEWTIME: 0x0000_0080,
  CLONE_NEWNS: 0x0002_0000,
  CLONE_NEWCGROUP: 0x0200_0000,
  CLONE_NEWUTS: 0x0400_0000,
  CLONE_NEWIPC: 0x0800_0000,
  CLONE_NEWUSER: 0x1000_0000,
  CLONE_NEWPID: 0x2000_0000,
  CLONE_NEWNET: 0x4000_0000,
}

export const socketRules: SeccompRule[] = Object.values(socketFamilies).map((family) =>
  equal('socket', family),
)

export const personalityRules: SeccompRule[] = Object.values(personalities).map((value) =>
  equal('personality', value),
)

/** clone(2) without any namespace: a user namespace made in here would open the kernel to its new root. */
export const cloneRule: SeccompRule = {
  names: ['clone'],
  action: 'SCMP_ACT_ALLOW',
  args: [
    {
      index: 0,
      value: Object.values(namespaceFlags).reduce((mask, flag) => mask | flag, 0),
      valueTwo: 0,
      op: 'SCMP_CMP_MASKED_EQ',
    },
  ],
}

function equal(name: string, value: number): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] }
}
