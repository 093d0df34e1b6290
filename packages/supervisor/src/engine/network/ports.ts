/** Published ports: Docker's PortBindings and ExposedPorts → what the network plugin takes. */
import { isIP } from 'node:net'
import type { PortMapping } from '@holdfast/network'
import { HoldfastError } from '@holdfast/errors'
import type { ContainerConfig, HostConfig } from '../container-config.ts'

export interface ContainerPort {
  port: number
  protocol: 'tcp' | 'udp' | 'sctp'
}

/** `80/tcp`, `80` (tcp), `8000-8010/udp`; more than one for a range. Throws HF_BAD_REQUEST. */
export function parseContainerPorts(text: string): ContainerPort[] {
  const [range = '', protocol = 'tcp', ...rest] = text.toLowerCase().split('/')
  if (rest.length > 0 || !isProtocol(protocol)) throw bad(`Invalid port: "${text}"`)
  const [first, last] = parseRange(range, text)
  if (first === 0) throw bad(`Invalid port: "${text}"`)
  return Array.from({ length: last - first + 1 }, (_, index) => ({ port: first + index, protocol }))
}

/** Every port of the container that is to be published. Throws HF_BAD_REQUEST for what isn't a port or an address. */
export function portMappings(config: ContainerConfig, host: HostConfig, exposed: string[]): PortMapping[] {
  const mappings: PortMapping[] = []
  for (const [key, bindings] of Object.entries(host.PortBindings)) {
    const ports = parseContainerPorts(key)
    // Docker reads an empty list, as `-p 80` makes it in some clients, as "one binding to a random port".
    for (const { HostIp, HostPort } of bindings?.length ? bindings : [{ HostIp: '', HostPort: '' }]) {
      if (HostIp !== '' && isIP(HostIp.replace(/^\[|\]$/g, '')) === 0)
        throw bad(`invalid IP address: ${HostIp}`)
      const [first, last] = HostPort === '' ? [0, 0] : parseRange(HostPort, HostPort)
      for (const [index, { port, protocol }] of ports.entries()) {
        const parallel = ports.length > 1 && first > 0
        if (parallel && last - first + 1 !== ports.length)
          throw bad(`Invalid ranges specified: ${key}:${HostPort}`)
        mappings.push({
          protocol,
          containerPort: port,
          hostPort: parallel ? first + index : first,
          ...(last > first && !parallel && { hostPortEnd: last }),
          ...(HostIp !== '' && { hostIp: HostIp.replace(/^\[|\]$/g, '') }),
        })
      }
    }
  }
  if (host.PublishAllPorts) {
    const bound = new Set(mappings.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`))
    for (const { port, protocol } of [...Object.keys(config.ExposedPorts), ...exposed].flatMap(
      parseContainerPorts,
    )) {
      const key = `${port}/${protocol}`
      if (bound.has(key)) continue
      bound.add(key)
      mappings.push({ protocol, containerPort: port, hostPort: 0 })
    }
  }
  return mappings
}

function isProtocol(text: string): text is ContainerPort['protocol'] {
  return text === 'tcp' || text === 'udp' || text === 'sctp'
}

function parseRange(text: string, shown: string): [number, number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const first = Number(match?.[1])
  const last = Number(match?.[2] ?? match?.[1])
  if (!match || first > 65_535 || last > 65_535 || last < first) throw bad(`Invalid port: "${shown}"`)
  return [first, last]
}

function bad(message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field: 'PortBindings' } })
}
