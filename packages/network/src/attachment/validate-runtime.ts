/** What a runtime adds to a network's configuration: capabilities (`runtimeConfig`), `args`, CNI_ARGS. */
import { formatAddress, macBytes, parseAddress, parseInterfaceAddress, type Address } from '../address.ts'
import type { PortMapping } from '../bridge.ts'
import { Fields, inPath, invalid } from './fields.ts'
import type { Bandwidth, Dns, RuntimeConfig } from './network-config.ts'
import { checkSets, validateRangeSet } from './validate-ipam.ts'

/** `args`: CNI_ARGS by name. What comes first wins: capabilities, then `args.cni`, then CNI_ARGS. */
export function validateRuntime(json: unknown, args: Record<string, string> = {}): RuntimeConfig {
  const config = new Fields(json, '')
  const runtime = config.object('runtimeConfig') ?? new Fields({}, 'runtimeConfig')
  const cniArgs = config.object('args')?.object('cni') ?? new Fields({}, 'args.cni')
  const mac = runtime.text('mac') ?? cniArgs.text('mac') ?? (args['MAC'] || config.text('mac'))
  if (mac !== undefined) inPath('mac', () => macBytes(mac, 'mac'))
  const sets = runtime.list('ipRanges', validateRangeSet)
  const bandwidth = validateBandwidth(runtime.object('bandwidth') ?? config.object('bandwidth'))
  return {
    portMappings: runtime.list('portMappings', validateMapping).flat(),
    ips: wishes(runtime, cniArgs, args),
    ...(sets.length > 0 && { ipRanges: checkSets(sets, 'runtimeConfig.ipRanges') }),
    ...(mac !== undefined && { mac: mac.toLowerCase() }),
    ...(bandwidth && { bandwidth }),
    ...(runtime.has('dns') && { dns: runtimeDns(runtime.object('dns')!) }),
    aliases: validateAliases(runtime),
  }
}

/** With or without a prefix length, which the ranges know better. One that is named twice (podman does) is one. */
function wishes(runtime: Fields, cniArgs: Fields, args: Record<string, string>): Address[] {
  const named = runtime.texts('ips').map((text) => [text, runtime.at('ips')])
  if (named.length === 0) named.push(...cniArgs.texts('ips').map((text) => [text, cniArgs.at('ips')]))
  if (named.length === 0 && args['IP'])
    named.push(...args['IP'].split(',').map((text) => [text, 'CNI_ARGS IP']))
  const addresses = named.map(([text, path]) =>
    inPath(path!, () => {
      if (!text!.includes('/')) return parseAddress(text!, 'ips')
      const { family, value } = parseInterfaceAddress(text!, 'ips')
      return { family, value }
    }),
  )
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()]
}

/** A runtime gives a mapping without a host port for what is exposed only: nothing is to be done. */
function validateMapping(value: unknown, path: string): PortMapping[] {
  const fields = new Fields(value, path)
  const containerPort = fields.integer('containerPort', 1, 65_535)
  if (containerPort === undefined) throw invalid(fields.at('containerPort'), 'is missing')
  const protocol = (fields.text('protocol') ?? 'tcp').toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw invalid(fields.at('protocol'), `'${protocol}' is none of tcp, udp, sctp`)
  }
  const hostPort = fields.integer('hostPort', 0, 65_535) ?? 0
  const hostIp = fields.text('hostIP')
  if (hostIp !== undefined) inPath(fields.at('hostIP'), () => parseAddress(hostIp, 'hostIP'))
  return hostPort === 0
    ? []
    : [{ protocol, containerPort, hostPort, ...(hostIp !== undefined && { hostIp }) }]
}

/** A burst may be left out; a rate of 0 is no limit. */
function validateBandwidth(fields: Fields | undefined): Bandwidth | undefined {
  if (!fields) return undefined
  const number = (key: string): number => fields.integer(key, 0, Number.MAX_SAFE_INTEGER) ?? 0
  const bandwidth: Bandwidth = {}
  for (const side of ['ingress', 'egress'] as const) {
    const [rate, burst] = [number(`${side}Rate`), number(`${side}Burst`)]
    if (rate === 0 && burst > 0) throw invalid(fields.at(`${side}Rate`), 'is missing beside a burst')
    if (rate === 0) continue
    if (rate < 8) throw invalid(fields.at(`${side}Rate`), 'must be at least 8: it counts bits')
    // The kernel counts bursts in bytes, with 32 bits.
    if (burst > 0xffff_ffff * 8) throw invalid(fields.at(`${side}Burst`), 'is above 4 GiB')
    bandwidth[`${side}Rate`] = rate
    if (burst > 0) bandwidth[`${side}Burst`] = burst
  }
  return Object.keys(bandwidth).length === 0 ? undefined : bandwidth
}

export function validateDns(fields: Fields | undefined): Dns {
  if (!fields) return {}
  const domain = fields.text('domain')
  return {
    ...list('nameservers', fields.texts('nameservers')),
    ...(domain !== undefined && { domain }),
    ...list('search', fields.texts('search')),
    ...list('options', fields.texts('options')),
  }
}

/** The capability has other words than the configuration. */
function runtimeDns(fields: Fields): Dns {
  return {
    ...list('nameservers', fields.texts('servers')),
    ...list('search', fields.texts('searches')),
    ...list('options', fields.texts('options')),
  }
}

function list<K extends string>(key: K, values: string[]): Partial<Record<K, string[]>> {
  return values.length === 0 ? {} : ({ [key]: values } as Record<K, string[]>)
}

/** Podman gives a map of network to names, others a list. */
function validateAliases(runtime: Fields): string[] {
  const value = runtime.raw('aliases')
  if (value === undefined || Array.isArray(value)) return runtime.texts('aliases')
  const byNetwork = new Fields(value, runtime.at('aliases'))
  return Object.keys(value as object).flatMap((network) => byNetwork.texts(network))
}
