/** A network's configuration as CNI and its reference plugins write it, checked and turned into what `setup` takes. */
import { HoldfastError } from '@holdfast/errors'
import { macBytes } from '../address.ts'
import { checkLinkName } from '../validate.ts'
import { Fields, inPath, invalid } from './fields.ts'
import { validateIpam } from './validate-ipam.ts'
import { validateDns } from './validate-runtime.ts'
import { gatewayName } from './stable-name.ts'
import {
  ipvlanModes,
  macvlanModes,
  type BridgeLink,
  type HostDevice,
  type LinkConfig,
  type NetworkConfig,
} from './network-config.ts'

const defaultStateDir = '/run/holdfast/cni'
const linkKinds = ['bridge', 'macvlan', 'ipvlan', 'ptp', 'host-device'] as const

/**
 * HF_INVALID_CONFIG with the field's path, HF_UNSUPPORTED. Needs no rights and touches nothing. Keys that it
 * does not know are passed over, as CNI asks.
 */
export function validate(json: unknown): NetworkConfig {
  const fields = new Fields(json, '')
  const name = fields.text('name')
  if (name === undefined) throw invalid('name', 'a network needs a name')
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(name)) {
    throw invalid(
      'name',
      `'${name}' must begin with a letter or digit and have at most 100 of A-Z a-z 0-9 _ . -`,
    )
  }
  const link = validateLink(fields)
  const mtu = fields.integer('mtu', 0, 65_535)
  checkBackend(fields)
  const config: NetworkConfig = {
    name,
    link,
    ipMasq: fields.flag('ipMasq'),
    ...(mtu !== undefined && mtu > 0 && { mtu: checkMtu(mtu) }),
    ipam: validateIpam(fields),
    dns: validateDns(fields.object('dns')),
    stateDir: absolute(fields, 'stateDir') ?? defaultStateDir,
  }
  return checkTogether(config)
}

function validateLink(fields: Fields): LinkConfig {
  const kind = fields.choice('link', linkKinds, 'bridge')
  switch (kind) {
    case 'bridge':
      return validateBridge(fields)
    case 'macvlan': {
      const modes = Object.keys(macvlanModes) as (keyof typeof macvlanModes)[]
      return { kind, ...master(fields), mode: fields.choice('mode', modes, 'bridge') }
    }
    case 'ipvlan': {
      const modes = Object.keys(ipvlanModes) as (keyof typeof ipvlanModes)[]
      return { kind, ...master(fields), mode: fields.choice('mode', modes, 'l2') }
    }
    case 'ptp':
      return { kind }
    case 'host-device':
      return validateDevice(fields)
  }
}

function validateBridge(fields: Fields): BridgeLink {
  const isDefaultGateway = fields.flag('isDefaultGateway')
  const vlanTrunk = fields.list('vlanTrunk', trunkIds).flat()
  const link: BridgeLink = {
    kind: 'bridge',
    bridge: linkName(fields, 'bridge') ?? 'cni0',
    isGateway: fields.flag('isGateway') || isDefaultGateway,
    isDefaultGateway,
    forceAddress: fields.flag('forceAddress'),
    hairpinMode: fields.flag('hairpinMode'),
    promiscMode: fields.flag('promiscMode'),
    vlan: fields.integer('vlan', 0, 4094) ?? 0,
    vlanTrunk: [...new Set(vlanTrunk)].sort((a, b) => a - b),
    preserveDefaultVlan: fields.flag('preserveDefaultVlan', true),
    macspoofchk: fields.flag('macspoofchk'),
    portIsolation: fields.flag('portIsolation'),
    enabledad: fields.flag('enabledad'),
    disableContainerInterface: fields.flag('disableContainerInterface'),
  }
  // It becomes part of nft's text.
  if (!/^[\w.-]+$/.test(link.bridge))
    throw invalid('bridge', `'${link.bridge}' has more than letters, digits, _.-`)
  if (link.hairpinMode && link.promiscMode) {
    throw invalid('promiscMode', 'hairpinMode and promiscMode exclude each other')
  }
  if (link.vlan > 0 && link.vlanTrunk.length > 0) {
    throw invalid('vlanTrunk', 'a port is either of one VLAN (vlan) or a trunk (vlanTrunk)')
  }
  // The host's interface in the VLAN.
  if (gatewayName(link) !== link.bridge) inPath('bridge', () => checkLinkName(gatewayName(link), 'bridge'))
  return link
}

/** `{ "minID": 10, "maxID": 20 }`, `{ "id": 5 }`, or both. */
function trunkIds(value: unknown, path: string): number[] {
  const fields = new Fields(value, path)
  const [min, max, id] = ['minID', 'maxID', 'id'].map((key) => fields.integer(key, 1, 4094))
  if (min === undefined && max === undefined && id === undefined)
    throw invalid(path, 'needs minID and maxID, or id')
  if ((min === undefined) !== (max === undefined)) throw invalid(path, 'minID and maxID come together')
  if (min !== undefined && max !== undefined && min > max) throw invalid(path, 'minID is above maxID')
  const range = min === undefined ? [] : Array.from({ length: max! - min + 1 }, (_, at) => min + at)
  return id === undefined ? range : [...range, id]
}

function master(fields: Fields): { master?: string } {
  const name = linkName(fields, 'master')
  return name === undefined ? {} : { master: name }
}

function validateDevice(fields: Fields): HostDevice {
  const device = linkName(fields, 'device')
  const hwaddr = fields.text('hwaddr')
  if (hwaddr !== undefined) inPath('hwaddr', () => macBytes(hwaddr, 'hwaddr'))
  const kernelpath = fields.text('kernelpath')
  if (kernelpath !== undefined && (!kernelpath.startsWith('/sys/devices/') || kernelpath.includes('..'))) {
    throw invalid('kernelpath', 'must lie below /sys/devices')
  }
  const pciBusID = fields.object('runtimeConfig')?.text('deviceID') ?? fields.text('pciBusID')
  if (pciBusID !== undefined && !/^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(pciBusID)) {
    throw invalid('pciBusID', `'${pciBusID}' is not like 0000:00:1f.6`)
  }
  const link: HostDevice = {
    kind: 'host-device',
    ...(device !== undefined && { device }),
    ...(hwaddr !== undefined && { hwaddr: hwaddr.toLowerCase() }),
    ...(kernelpath !== undefined && { kernelpath }),
    ...(pciBusID !== undefined && { pciBusID: pciBusID.toLowerCase() }),
  }
  if (Object.keys(link).length !== 2) {
    throw invalid('device', 'one of device, hwaddr, kernelpath and pciBusID must say which device')
  }
  return link
}

function checkTogether(config: NetworkConfig): NetworkConfig {
  const { link, ipam } = config
  if (link.kind === 'bridge' && link.disableContainerInterface && ipam.from !== 'nowhere') {
    throw invalid('ipam', 'an interface that stays down has no addresses', 'Set "ipam": { "type": "none" }.')
  }
  if (link.kind === 'ptp' && ipam.from === 'nowhere')
    throw invalid('ipam', 'a point-to-point link needs addresses')
  if (config.ipMasq && !['bridge', 'ptp'].includes(link.kind)) {
    const message = `ipMasq: what a ${link.kind} link sends does not pass the host's rules`
    throw new HoldfastError('HF_UNSUPPORTED', message, {
      hint: 'Leave ipMasq out.',
      details: { field: 'ipMasq' },
    })
  }
  return config
}

/** Rules are always nftables'; they work beside those of iptables. */
function checkBackend(fields: Fields): void {
  fields.choice('ipMasqBackend', ['iptables', 'nftables'], 'nftables')
}

function checkMtu(mtu: number): number {
  if (mtu < 68) throw invalid('mtu', 'must be at least 68, the smallest that IPv4 allows')
  return mtu
}

function absolute(fields: Fields, key: string): string | undefined {
  const path = fields.text(key)
  if (path !== undefined && !path.startsWith('/')) throw invalid(fields.at(key), 'must be an absolute path')
  return path
}

function linkName(fields: Fields, key: string): string | undefined {
  const name = fields.text(key)
  if (name !== undefined) inPath(fields.at(key), () => checkLinkName(name, key))
  return name
}
