/** rtnetlink(7)'s messages for addresses, and for the neighbours that are told of them. */
import {
  formatAddress,
  formatAddressFlags,
  formatNeighbor,
  MessageType,
  parseAddress as parseAddressHeader,
} from 'netlink/dist/rt/gen_structs.js'
import { addressBytes, addressFromBytes, type Address, type Prefix } from '../address.ts'
import { NLM_F_CREATE, NLM_F_REPLACE, type Reply, type Request } from './netlink.ts'
import { attribute, attributesOf, u32 } from './netlink-attributes.ts'
import { AF_INET, AF_INET6 } from './protocol-numbers.ts'

/** struct ifaddrmsg; attributes follow. */
const addressHeaderBytes = 8

export interface LinkAddress {
  index: number
  address: Address
  prefixLength: number
  /** IFA_F_…: IFA_F_TENTATIVE while duplicates are looked for. */
  flags: number
}

export const IFA_F_DADFAILED = 0x08
export const IFA_F_TENTATIVE = 0x40

export interface AddressFlags {
  /** The kernel looks whether somebody else has the IPv6 address. */
  dad?: boolean
  /** No route to the address's network comes with it. */
  noPrefixRoute?: boolean
}

/**
 * Without duplicate address detection, unless asked for: who hands out the addresses knows that there are
 * none.
 */
export function addAddress(index: number, address: Prefix, flags: AddressFlags = {}): Request {
  return {
    ...addressRequest(MessageType.NEWADDR, index, address, flags),
    flags: NLM_F_CREATE | NLM_F_REPLACE,
  }
}

export function deleteAddress(index: number, address: Prefix): Request {
  return { ...addressRequest(MessageType.DELADDR, index, address), tolerate: ['EADDRNOTAVAIL'] }
}

function addressRequest(
  type: number,
  index: number,
  address: Prefix,
  { dad = false, noPrefixRoute = false }: AddressFlags = {},
): Request {
  const bytes = addressBytes(address)
  const family = address.family === 4 ? AF_INET : AF_INET6
  const header = formatAddress({
    family,
    prefixlen: address.length,
    index,
    flags: dad ? {} : { nodad: true },
  })
  const broadcast: Buffer[] = []
  if (address.family === 4 && address.length < 31) {
    const hostBits = (1n << BigInt(32 - address.length)) - 1n
    broadcast.push(
      attribute(4 /* IFA_BROADCAST */, addressBytes({ family: 4, value: address.value | hostBits })),
    )
  }
  return {
    type,
    what: `${type === MessageType.NEWADDR ? 'RTM_NEWADDR' : 'RTM_DELADDR'} on link ${index}`,
    payload: [
      header,
      attribute(2 /* IFA_LOCAL */, bytes),
      attribute(1 /* IFA_ADDRESS */, bytes),
      ...broadcast,
      // The header has room for eight bits alone.
      ...(noPrefixRoute
        ? [
            attribute(
              8 /* IFA_FLAGS */,
              u32(formatAddressFlags({ noprefixroute: true, ...(!dad && { nodad: true }) })),
            ),
          ]
        : []),
    ],
    hints: { EACCES: 'IPv6 is switched off for this interface: see net.ipv6.conf.*.disable_ipv6.' },
  }
}

export function dumpAddresses(): Request {
  return { type: MessageType.GETADDR, what: 'RTM_GETADDR', payload: [formatAddress({})] }
}

export function parseAddressReply({ data }: Reply): LinkAddress | undefined {
  const { index = 0, prefixlen = 0, flags = {} } = parseAddressHeader(data.subarray(0, addressHeaderBytes))
  const attributes = attributesOf(data.subarray(addressHeaderBytes))
  const bytes = attributes.get(2) ?? attributes.get(1)
  if (!bytes) return undefined
  return {
    index,
    prefixLength: prefixlen,
    address: addressFromBytes(bytes),
    flags: attributes.get(8)?.readUInt32LE() ?? formatAddressFlags(flags),
  }
}

/** Tells a link's neighbour cache; the entry is used at once and verified by the kernel in its own time. */
export function addNeighbour(index: number, address: Address, mac: Buffer): Request {
  return {
    type: MessageType.NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `RTM_NEWNEIGH on link ${index}`,
    payload: [
      formatNeighbor({
        family: address.family === 4 ? AF_INET : AF_INET6,
        ifindex: index,
        state: { stale: true },
      }),
      attribute(1 /* NDA_DST */, addressBytes(address)),
      attribute(2 /* NDA_LLADDR */, mac),
    ],
  }
}
