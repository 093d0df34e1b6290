/**
 * Names of links, made from whose they are, so that a killed process's leftovers are found without any record.
 * FNV-1a, twice with different beginnings: names need no cryptography, and loading Node's takes longer than
 * making a link.
 */

import type { BridgeLink } from './network-config.ts'

/** Twelve hexadecimal digits. */
function stableHash(text: string): string {
  return hash32(text, 0x811c_9dc5) + hash32(text, 0x050c_5d1f).slice(0, 4)
}

/** Eight hexadecimal digits. */
export function shortHash(text: string): string {
  return hash32(text, 0x811c_9dc5)
}

function hash32(text: string, start: number): string {
  let hash = start
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x0100_0193)
  // FNV's last bytes hardly change the upper bits; MurmurHash's end spreads them.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, '0')
}

export interface AttachmentKey {
  network: string
  containerId: string
  interface: string
}

/** The host's end of a pair. */
export function hostLinkName(key: AttachmentKey): string {
  return `hf${stableHash(keyText(key))}`
}

/** The link that has, or would have, the gateways' addresses: the bridge, or the host's interface in the VLAN. */
export function gatewayName({
  bridge,
  vlan,
  isGateway,
}: Pick<BridgeLink, 'bridge' | 'vlan' | 'isGateway'>): string {
  return isGateway && vlan > 0 ? `${bridge}.${vlan}` : bridge
}

/** The port of a bridge behind which an interface of the host's in one VLAN lies. */
export function vlanPortName(interfaceName: string): string {
  return `hv${stableHash(interfaceName)}`
}

/** What marks a bridge, and the host's interface in a VLAN, as made by us: for taking it away again. */
export const bridgeMark = 'holdfast-cni'

/** The link by which what a container sends is slowed down. */
export function shaperName(key: AttachmentKey): string {
  return `hi${stableHash(keyText(key))}`
}

/** What marks a host's link as this attachment's. */
export function attachmentAlias(key: AttachmentKey): string {
  return `${networkAliasPrefix(key.network)}${key.containerId} ${key.interface}`
}

export function networkAliasPrefix(network: string): string {
  return `holdfast-cni ${network} `
}

/** A locally administered MAC address for what has no IP address to make one from. */
export function macOfName(name: string): string {
  return ['0a', '68', ...shortHash(name).match(/../g)!].join(':')
}

function keyText({ network, containerId, interface: name }: AttachmentKey): string {
  return `${network} ${containerId} ${name}`
}
