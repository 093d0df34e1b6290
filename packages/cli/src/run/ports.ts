import { usageError } from '../command-line.ts'

type Bindings = Record<string, { HostIp: string; HostPort: string }[]>

interface Publication {
  hostIp: string
  host: [first: number, last: number] | undefined
  container: [first: number, last: number]
  protocol: string
}

/** `80`, `8080:80`, `127.0.0.1:8080:80`, `127.0.0.1::80`, `[::1]:80:80`, ranges on both sides, `/udp`. */
export function parsePort(text: string): Publication {
  const [, rest = '', protocol = 'tcp'] = /^(.*?)(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? []
  const [, bracketed, plain, hostPort, containerPort = ''] =
    /^(?:(?:\[([^\]]*)\]|([\d.]*)):)?(?:([\d-]*):)?([\d-]+)$/.exec(rest) ?? []
  const hostIp = bracketed ?? plain ?? ''
  const container = range(containerPort, text)
  // `8080:80` matches as an address of digits only; an address has dots, brackets, or an empty port behind it.
  if (plain && !plain.includes('.') && hostPort === undefined) {
    return checked(
      { hostIp: '', host: range(plain, text), container, protocol: protocol.toLowerCase() },
      text,
    )
  }
  const host = hostPort === undefined || hostPort === '' ? undefined : range(hostPort, text)
  return checked({ hostIp, host, container, protocol: protocol.toLowerCase() }, text)
}

function range(text: string, whole: string): [number, number] {
  const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? []
  const [from, to] = [Number(first), Number(last ?? first)]
  if (first === undefined || to < from || to > 65535) throw usageError(`invalid port in "${whole}"`)
  return [from, to]
}

function checked(publication: Publication, text: string): Publication {
  const { host, container } = publication
  const size = container[1] - container[0]
  if (container[0] === 0)
    throw usageError(`invalid port in "${text}"`, 'Only the host’s port may be 0, to have one chosen.')
  if (host && size > 0 && host[1] - host[0] !== size)
    throw usageError(`port ranges differ in size in "${text}"`)
  return publication
}

export function publishedPorts(flags: string[]): Bindings {
  const bindings: Bindings = {}
  for (const { hostIp, host, container, protocol } of flags.map(parsePort)) {
    const count = container[1] - container[0] + 1
    for (let offset = 0; offset < count; offset++) {
      const hostPort = host === undefined ? '' : count > 1 ? String(host[0] + offset) : host.join('-')
      const single = host && host[0] === host[1] ? String(host[0]) : hostPort
      const key = `${container[0] + offset}/${protocol}`
      ;(bindings[key] ??= []).push({ HostIp: hostIp, HostPort: single })
    }
  }
  return bindings
}

export function exposedPorts(exposed: string[], published: string[]): Record<string, Record<string, never>> {
  const ports: Record<string, Record<string, never>> = {}
  for (const { container, protocol } of [...exposed, ...published].map(parsePort)) {
    for (let port = container[0]; port <= container[1]; port++) ports[`${port}/${protocol}`] = {}
  }
  return ports
}
