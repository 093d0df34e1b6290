/** Chained behind a plugin that made the interface: its ports are published, its bandwidth shaped; nothing else. */
import { HoldfastError } from '@holdfast/errors'
import { formatAddress, networkOf } from '../address.ts'
import type { AttachmentRecord } from './attachment-file.ts'
import { ensureRules, type RuleNeeds } from './base-rules.ts'
import { addressesOf } from './inside.ts'
import type { Result } from './network-config.ts'
import { planPorts, refuseTakenPorts } from './ports.ts'
import { publishOrReap } from './reap.ts'
import { ownRulesName } from './rules-name.ts'
import { IPV4_DEVCONF_ROUTE_LOCALNET, setLink, type Link } from '../netlink/rtnetlink.ts'
import { shape } from './shaping.ts'
import { attachmentAlias, shaperName } from './stable-name.ts'
import type { Work } from './work.ts'

export async function adopt(work: Work): Promise<Result> {
  const { host, dir, key, request, file } = work
  const previous = request.previous!
  const { runtime } = request
  const index = previous.interfaces.findIndex((each) => each.name === key.interface && each.sandbox)
  const addresses = addressesOf(previous, index).map(({ address }) => address)
  const ports = planPorts(runtime?.portMappings ?? [], addresses)
  await refuseTakenPorts(host, ports)
  const { pair, bridge, vlan } = await hostSide(work, previous)
  const record: AttachmentRecord = {
    containerId: key.containerId,
    interface: key.interface,
    netns: typeof request.netns === 'string' ? request.netns : '',
    kind: 'chained',
    rules: (vlan ?? bridge)?.name ?? ownRulesName(key.network),
    ...(vlan && bridge && { trunk: bridge.name }),
    addresses: addresses.map(formatAddress),
    ports,
    aliases: runtime?.aliases ?? [],
    ...(!bridge && pair && { exit: pair.name }),
    ...(runtime?.bandwidth?.egressRate && { shaper: shaperName(key) }),
  }
  file.write(record)
  if (runtime?.bandwidth) {
    if (!pair) throw noPair('bandwidth')
    const { index: hostIndex, mtu } = pair
    const { bandwidth } = runtime
    await shape(host, { bandwidth, hostIndex, mtu, shaper: shaperName(key), alias: attachmentAlias(key) })
  }
  if (ports.length > 0) {
    const way = vlan ?? bridge ?? pair
    if (!way) throw noPair('portMappings')
    await host.route.request([
      setLink({ link: way.index, ipv4: { [IPV4_DEVCONF_ROUTE_LOCALNET]: 1 } }),
      ...(bridge && pair ? [setLink({ link: pair.name, hairpin: true })] : []),
    ])
    const needs: RuleNeeds = {
      name: record.rules,
      pointToPoint: !bridge,
      trunk: record.trunk,
      ipMasq: false,
      subnets: addresses.map((address) => networkOf(address, address.length)),
    }
    await ensureRules(host, dir, needs)
    await publishOrReap(work, record, needs)
  }
  const result = runtime?.dns ? { ...previous, dns: runtime.dns } : previous
  file.write({ ...record, result })
  return result
}

interface HostSide {
  /** The host's end of the pair, and the bridge that it is a port of. */
  pair?: Link
  bridge?: Link
  /** The host's interface in the container's VLAN of that bridge, which the reference bridge plugin names so. */
  vlan?: Link
}

async function hostSide({ host }: Work, { interfaces }: Result): Promise<HostSide> {
  const links: Link[] = []
  for (const { name, sandbox } of interfaces) {
    const link = sandbox ? undefined : await host.link(name)
    if (link) links.push(link)
  }
  const pair = links.find(({ kind }) => kind === 'veth')
  const bridge = links.find(({ kind, index }) => kind === 'bridge' && (!pair || pair.master === index))
  const vlan = links.find(
    ({ name }) =>
      bridge && /^\d+$/.test(name.slice(bridge.name.length + 1)) && name.startsWith(`${bridge.name}.`),
  )
  return { ...(pair && { pair }), ...(bridge && { bridge }), ...(vlan && { vlan }) }
}

function noPair(field: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field}: the plugin before tells of no link on the host`, {
    hint: 'That works behind plugins that make a pair of links, such as bridge and ptp.',
    details: { field },
  })
}
