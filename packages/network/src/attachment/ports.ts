/**
 * Published ports of attachments that no process stays behind for. Nothing is bound: a port that somebody listens
 * on is refused when it is asked for, and one of another attachment's is found in the rules, as a map has each key
 * once. See docs/decisions/0021.
 */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatAddress, isLoopback, isUnspecified, parseAddress, type Address } from '../address.ts'
import type { PortMapping, PublishedPort } from '../bridge.ts'
import { HeldSockets } from '../ports/held-sockets.ts'
import { changeElements, getElement, parseElements, type ElementRequest } from '../netlink/nfnetlink.ts'
import { elementKey, elementsOf } from '../ports/port-elements.ts'
import { deletePresent } from '../ports/publish.ts'
import { forgetFlows } from '../ports/udp-flows.ts'
import type { AttachmentRecord } from './attachment-file.ts'
import { table, type Host } from './host.ts'

/** Podman's monitor binds its own container's ports for as long as that runs, and never listens to anybody. */
const reservingProcess = 'conmon'

/** Host addresses and families made plain. HF_UNSUPPORTED for what the kernel can't translate. */
export function planPorts(mappings: PortMapping[], addresses: Address[]): PublishedPort[] {
  const families = new Set(addresses.map(({ family }) => family))
  return mappings.flatMap(({ protocol, containerPort, hostPort, hostIp }) => {
    const hosts =
      hostIp === undefined
        ? [...families].map((family) => (family === 4 ? '0.0.0.0' : '::'))
        : [formatAddress(parseAddress(hostIp, 'hostIP'))]
    return hosts.map((text) => {
      const address = parseAddress(text, 'hostIP')
      if (!families.has(address.family)) {
        throw unsupported(text, hostPort, `the container has no IPv${address.family} address`)
      }
      if (address.family === 6 && isLoopback(address)) {
        throw unsupported(text, hostPort, 'the kernel never routes a packet from ::1 off the host')
      }
      return { protocol, containerPort, hostPort, hostIp: text }
    })
  })
}

function unsupported(hostIp: string, port: number, reason: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `port ${port} cannot be published on ${hostIp}: ${reason}`, {
    hint: 'Publish it on another address, or leave the address out.',
    details: { field: 'portMappings', hostIp },
  })
}

/** HF_PORT_IN_USE where a process of the host's has one of them. */
export async function refuseTakenPorts(host: Host, ports: PublishedPort[]): Promise<void> {
  if (ports.length === 0) return
  const sockets = new HeldSockets(host.netns)
  try {
    for (const { protocol, hostIp, hostPort: port } of ports) {
      const address = parseAddress(hostIp, 'hostIP')
      if (sockets.isFree({ protocol, address, port, reuse: false })) continue
      const { findPortHolder } = await import('../ports/port-holder.ts')
      const holder = await findPortHolder(protocol, address, port, host.netns)
      if (holder?.timeWaitOnly || holder?.process === reservingProcess) continue
      const who = holder?.process === undefined ? 'another process' : `${holder.process} (pid ${holder.pid})`
      throw portInUse({ protocol, hostIp, hostPort: port }, who, holder)
    }
  } finally {
    sockets.close()
  }
}

export function portInUse(
  { protocol, hostIp, hostPort: port }: Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>,
  who: string,
  holder: unknown,
): HoldfastError {
  const place = hostIp.includes(':') ? `[${hostIp}]` : hostIp
  return new HoldfastError('HF_PORT_IN_USE', `port ${place}:${port}/${protocol} is in use by ${who}`, {
    hint: 'Publish another port.',
    details: { port, protocol, hostIp, holder },
  })
}

/** All or none. EEXIST where one leads to another container already, ENOENT where the rules are gone. */
export async function publishPorts(
  host: Host,
  record: AttachmentRecord,
  ports = record.ports,
): Promise<void> {
  if (ports.length === 0) return
  const exit = exitElements(record)
  if (exit.length > 0) await host.netfilter.request(changeElements({ add: exit, exclusive: false }))
  const add = elementsOf({ options: { table } }, record.addresses, ports)
  await host.netfilter.request(changeElements({ add }))
  await forgetFlows(host, record.addresses, ports, 'publish')
}

/** Idempotent. What is another's stays: this one may have failed for want of the port. Returns what was published. */
export async function withdrawPorts(host: Host, record: AttachmentRecord): Promise<PublishedPort[]> {
  const { addresses, ports } = record
  if (ports.length === 0) return []
  const published = await publishedPorts(host, record)
  const elements = elementsOf({ options: { table } }, addresses, published)
  await deletePresent(host, [...elements, ...exitElements(record)])
  await forgetFlows(host, addresses, published, 'withdraw')
  return published
}

/** Answers to so many questions fit into a socket's buffer. */
const askedAtOnce = 64

/** Those that lead to its addresses; asked for one by one, so that the ports of others cost nothing. */
export async function publishedPorts(
  host: Host,
  { addresses, ports }: Pick<AttachmentRecord, 'addresses' | 'ports'>,
): Promise<PublishedPort[]> {
  const wanted = ports.flatMap((port) =>
    elementsOf({ options: { table } }, addresses, [port]).map((element) => ({ port, element })),
  )
  const found: PublishedPort[] = []
  for (let at = 0; at < wanted.length; at += askedAtOnce) {
    const asked = wanted.slice(at, at + askedAtOnce)
    const replies = await host.netfilter.request(asked.map(({ element }) => getElement(element)))
    asked.forEach(({ port, element }, index) => {
      const leads = replies[index]!.flatMap(parseElements).some(
        ({ key, data }) =>
          data &&
          elementKey({ ...element, elements: [{ key: [key], data: [data] }] }) === elementKey(element),
      )
      if (leads) found.push(port)
    })
  }
  return found
}

/** What leaves by these links from 127.0.0.1 is masqueraded: bridges are among them by the network's own rules. */
function exitElements({ exit }: AttachmentRecord): ElementRequest[] {
  if (exit === undefined) return []
  const name = Buffer.alloc(16)
  name.write(exit)
  return [{ table, set: 'bridges', elements: [{ key: [name] }] }]
}

/** Whether two published ports catch the same packets. */
export function collide(a: PublishedPort, b: PublishedPort): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false
  const [first, second] = [parseAddress(a.hostIp, 'hostIP'), parseAddress(b.hostIp, 'hostIP')]
  if (first.family !== second.family) return false
  return isUnspecified(first) === isUnspecified(second) && first.value === second.value
}

export function isClash(error: unknown): boolean {
  return hasCode(error, 'EEXIST', 'EBUSY')
}
