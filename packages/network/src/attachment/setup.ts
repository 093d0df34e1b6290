/** Attaches a container to a network: all of it, or nothing is left. */
import { HoldfastError } from '@holdfast/errors'
import { formatAddress, formatPrefix, networkOf } from '../address.ts'
import { checkLinkName } from '../validate.ts'
import { acquire, routesOf, type Addresses } from './addresses.ts'
import { adopt } from './adopt.ts'
import { AttachmentFile, type AttachmentRecord } from './attachment-file.ts'
import { ensureRules, type RuleNeeds } from './base-rules.ts'
import { Host } from './host.ts'
import { guardMac } from './mac-guard.ts'
import { makeLink, type MadeLink } from './make-link.ts'
import type { Dns, NetworkConfig, Result, Route } from './network-config.ts'
import { isHostNetns, openNetns } from './netns-path.ts'
import { planPorts, refuseTakenPorts } from './ports.ts'
import { publishOrReap, retryAfterReaping } from './reap.ts'
import { networkRules, rulesName } from './rules-name.ts'
import { shape } from './shaping.ts'
import { attachmentAlias, hostLinkName, shaperName, type AttachmentKey } from './stable-name.ts'
import { StateDir } from './state-dir.ts'
import { takeDown } from './take-down.ts'
import { removeIfUnused } from './unused.ts'
import type { SetupRequest } from './verbs.ts'
import type { Made, Work } from './work.ts'

/**
 * HF_BAD_REQUEST, HF_INVALID_CONFIG, HF_UNSUPPORTED, HF_NAMESPACE_NOT_FOUND before anything is changed;
 * HF_PORT_IN_USE, HF_ADDRESS_IN_USE, HF_ADDRESS_POOL_EXHAUSTED, HF_NETWORK_FAILED, HF_TIMEOUT, SyscallError.
 */
export async function setup(request: SetupRequest): Promise<Result> {
  const key = checkKey(request)
  using netns = openNetns(request.netns)
  if (isHostNetns(netns.fd, request.network.hostNetns)) throw ownNetns(request)
  using host = new Host(request.network.hostNetns)
  const dir = new StateDir(request.network)
  const inUse = await dir.enter()
  const made: Made = {}
  try {
    using file = (await AttachmentFile.open(dir, key, true))!
    const work: Work = { host, dir, key, request, file, netns: netns.fd, made }
    if (file.existed) await clearLeftovers(work)
    try {
      return isMadeAlready(request) ? await adopt(work) : await build(work)
    } catch (error) {
      await undo(work)
      throw error
    }
  } catch (error) {
    inUse.release()
    if (made.bridge?.created || made.bridge?.gateway.created || made.rules)
      await removeIfUnused(host, dir, request.network)
    throw error
  } finally {
    inUse.release()
  }
}

export function checkKey(request: {
  network: NetworkConfig
  containerId: string
  interface: string
}): AttachmentKey {
  const { containerId, network } = request
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(containerId)) {
    throw new HoldfastError('HF_BAD_REQUEST', `containerId: '${containerId}' is no id of a container`, {
      hint: 'It begins with a letter or digit, and has at most 128 of A-Z a-z 0-9 _ . -',
      details: { field: 'containerId' },
    })
  }
  checkLinkName(request.interface, 'interface')
  return { network: network.name, containerId, interface: request.interface }
}

function ownNetns({ netns }: SetupRequest): HoldfastError {
  const message = `${netns} is the host's own network namespace, not a container's`
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field: 'netns' } })
}

/** The plugin before made the interface: what is left to do is to publish and to shape. */
function isMadeAlready({ previous, interface: name }: SetupRequest): boolean {
  return previous?.interfaces.some((each) => each.name === name && (each.sandbox ?? '') !== '') ?? false
}

/** Somebody was killed at this attachment, or it is there. */
async function clearLeftovers(work: Work): Promise<void> {
  const { host, key, file } = work
  const record = file.read()
  const link = record?.hostLink === undefined ? undefined : await host.link(record.hostLink)
  if (record?.result && link?.alias === attachmentAlias(key)) {
    const message = `${key.containerId} is attached to network ${key.network} as ${key.interface} already`
    throw new HoldfastError('HF_NETWORK_FAILED', message, { hint: 'Detach it first (DEL).' })
  }
  await undo({ ...work, file: undefined }, record) // the file stays: it is this attachment's from here on
}

/** The first error is what the caller gets; what could not be undone stays on record for DEL and GC. */
async function undo(
  { host, dir, key, file, netns }: Omit<Work, 'file'> & { file: AttachmentFile | undefined },
  record = file?.read(),
): Promise<void> {
  try {
    await takeDown(host, dir, { key, file, record, addresses: [], netns })
  } catch (error) {
    process.emitWarning(`holdfast: ${key.containerId} could not be undone: ${String(error)}`)
  }
}

async function build(work: Work): Promise<Result> {
  const { host, dir, key, request, file } = work
  const { network, runtime } = request
  const addresses = await retryAfterReaping(work, () => acquire(host, dir, request))
  refuseWithoutIpv6(host, addresses)
  const routes = routesOf(network, addresses)
  const ports = planPorts(
    runtime?.portMappings ?? [],
    addresses.inside.map(({ address }) => address),
  )
  if (ports.length > 0) refuseUnpublishable(network)
  await refuseTakenPorts(host, ports)
  const hasPair = network.link.kind === 'bridge' || network.link.kind === 'ptp'
  const record: AttachmentRecord = {
    containerId: key.containerId,
    interface: key.interface,
    netns: typeof request.netns === 'string' ? request.netns : '',
    kind: network.link.kind,
    rules: rulesName(network),
    addresses: addresses.inside.map(({ address }) => formatAddress(address)),
    ports,
    aliases: runtime?.aliases ?? [],
    ...(hasPair && { hostLink: hostLinkName(key) }),
    ...(network.link.kind === 'ptp' && { exit: hostLinkName(key) }),
    ...(runtime?.bandwidth?.egressRate && { shaper: shaperName(key) }),
  }
  file.write(record)
  const link = await makeLink(host, dir, {
    key,
    request,
    netns: work.netns,
    addresses,
    routes,
    publishes: ports.length > 0,
    made: work.made,
    beforeTaking: (device) => file.write(Object.assign(record, { device })),
  })
  await guard(work, record, link)
  await shapeLink(work, link)
  if (network.ipMasq || ports.length > 0) {
    work.made.rules = await ensureRules(host, dir, ruleNeeds(network, addresses))
    if (work.made.rules && request.warn) await warnOfObstacles(request)
  }
  await publishOrReap(work, record, ruleNeeds(network, addresses))
  const result = resultOf(request, { addresses, routes, link })
  file.write({ ...record, result })
  return result
}

async function warnOfObstacles({ network, warn }: SetupRequest): Promise<void> {
  const { forwardLimits } = await import('./obstacles.ts')
  for (const { what, fix } of await forwardLimits(network)) warn?.(`${what}: ${fix}`)
}

function refuseWithoutIpv6(host: Host, { inside }: Addresses): void {
  if (host.hasIpv6 || !inside.some(({ address }) => address.family === 6)) return
  throw new HoldfastError(
    'HF_UNSUPPORTED',
    'the network has IPv6 addresses, and this kernel runs without IPv6',
    {
      hint: 'Boot without ipv6.disable=1, or leave the IPv6 ranges out of the configuration.',
      details: { field: 'ipam' },
    },
  )
}

function refuseUnpublishable({ link }: NetworkConfig): void {
  if (link.kind === 'bridge' || link.kind === 'ptp') return
  throw new HoldfastError(
    'HF_UNSUPPORTED',
    `portMappings: what reaches a ${link.kind} link does not pass the host`,
    {
      hint: 'Reach the container by its own address.',
      details: { field: 'portMappings' },
    },
  )
}

async function guard(
  { host, dir, request, file }: Work,
  record: AttachmentRecord,
  made: MadeLink,
): Promise<void> {
  const { link } = request.network
  const { mac } = made.inside
  if (link.kind !== 'bridge' || !link.macspoofchk || !made.hostLink || mac === undefined) return
  file.write(Object.assign(record, { mac }))
  await guardMac(host, dir, { link: made.hostLink.name, mac })
}

async function shapeLink({ host, key, request }: Work, { hostLink }: MadeLink): Promise<void> {
  const bandwidth = request.runtime?.bandwidth
  if (!bandwidth) return
  if (!hostLink) {
    const message = `bandwidth: a ${request.network.link.kind} link has no end on the host to be shaped`
    throw new HoldfastError('HF_UNSUPPORTED', message, { details: { field: 'bandwidth' } })
  }
  const { index: hostIndex, mtu } = hostLink
  await shape(host, { bandwidth, hostIndex, mtu, shaper: shaperName(key), alias: attachmentAlias(key) })
}

function ruleNeeds(network: NetworkConfig, { inside }: Addresses): RuleNeeds {
  return {
    ...networkRules(network),
    subnets: inside.map(({ address }) => networkOf(address, address.length)),
  }
}

function resultOf(
  { network, runtime, previous }: SetupRequest,
  made: { addresses: Addresses; routes: Route[]; link: MadeLink },
): Result {
  const before: Result = previous ?? { interfaces: [], ips: [], routes: [], dns: {} }
  const interfaces = [...before.interfaces, ...made.link.interfaces]
  const ips = made.addresses.inside.map(({ address, gateway }) => ({
    address: formatPrefix(address),
    ...(gateway && { gateway: formatAddress(gateway) }),
    interface: interfaces.indexOf(made.link.inside),
  }))
  return {
    interfaces,
    ips: [...before.ips, ...ips],
    routes: [...before.routes, ...made.routes],
    dns: firstDns([runtime?.dns, network.dns, made.addresses.dns, before.dns]),
  }
}

/** The runtime's word comes first, then the configuration's, then the IPAM plugin's. */
function firstDns(candidates: (Dns | undefined)[]): Dns {
  return candidates.find((dns) => dns && Object.keys(dns).length > 0) ?? {}
}
