/** Which policy refuses a packet, by the lists and not by the kernel: for the log, and for connections that go on. */
import { formatAddress, type Address } from '../address.ts'
import type { Refusal } from '../open-network/network-event.ts'
import type { LearnedAddress, NamePattern } from './dns-name.ts'
import type { PolicySubject } from './egress-filter.ts'
import { refusalBy, type Packet } from './egress-rule.ts'

export interface Judgement {
  packet: Packet
  subject: PolicySubject | undefined
  /** Undefined: nothing refuses it now. */
  rule: string | undefined
}

export function judge(
  subjects: ReadonlyMap<string, PolicySubject>,
  packet: Packet,
  addressesOf: (pattern: NamePattern) => LearnedAddress[],
): Judgement {
  const known = (pattern: NamePattern): Address[] => addressesOf(pattern).map(({ address }) => address)
  const same = ({ family, value }: Address) =>
    family === packet.source.family && value === packet.source.value
  const subject = [...subjects.values()].find(({ members }) => members?.addresses.some(same))
  const network = [...subjects.values()].find(({ members }) => members === undefined)
  const byNetwork = network && refusalBy(network.policy, packet, known)
  if (byNetwork !== undefined) return { packet, subject, rule: `network: ${byNetwork}` }
  return { packet, subject, rule: subject && refusalBy(subject.policy, packet, known) }
}

const protocolNames: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp', 132: 'sctp' }

/** `id`, `interface`: of a container without a policy of its own too. */
export function refusalOf(
  packet: Packet,
  { subject, rule }: Judgement,
  owner?: { id: string; interface: string },
): Refusal {
  const whose = subject?.id === undefined ? owner : { id: subject.id, interface: subject.interface ?? '' }
  return {
    type: 'refused',
    ...(whose && { id: whose.id, interface: whose.interface }),
    rule: rule ?? 'the policy was changed meanwhile',
    protocol: protocolNames[packet.protocol] ?? String(packet.protocol),
    source: formatAddress(packet.source),
    destination: formatAddress(packet.destination),
    ...(packet.port !== undefined && { port: packet.port }),
  }
}
