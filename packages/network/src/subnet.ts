/** A free subnet for a new network. */
import { HoldfastError } from '@holdfast/errors'
import {
  familyBits,
  formatPrefix,
  lastAddress,
  networkOf,
  overlaps,
  parsePrefix,
  type Prefix,
} from './address.ts'
import { NetlinkSocket, NETLINK_ROUTE } from './netlink/netlink.ts'
import { releaseSubnet, reserveSubnet } from './subnet-reservation.ts'
import { dumpAddresses, parseAddressReply } from './netlink/address-requests.ts'
import { dumpRoutes, parseRoute } from './netlink/route-requests.ts'

/**
 * First subnet of `pool` with this prefix length that no route or address of the host overlaps, and that no
 * other process chose and has not opened yet: it is reserved until this process opens a network with it, or
 * ends. HF_BAD_REQUEST for a bad pool, HF_ADDRESS_POOL_EXHAUSTED. `hostNetns`: as in BridgeOptions.
 */
export async function chooseSubnet(pool: string, prefixLength: number, hostNetns?: number): Promise<string> {
  const whole = parsePrefix(pool, 'pool')
  if (
    !Number.isInteger(prefixLength) ||
    prefixLength < whole.length ||
    prefixLength > familyBits[whole.family] - 2
  ) {
    throw new HoldfastError('HF_BAD_REQUEST', `${pool} cannot be cut into subnets of /${prefixLength}`, {
      details: { field: 'prefixLength' },
    })
  }
  let taken = await takenPrefixes(hostNetns)
  const step = 1n << BigInt(familyBits[whole.family] - prefixLength)
  for (let value = whole.value; value <= lastAddress(whole);) {
    const subnet: Prefix = { family: whole.family, value, length: prefixLength }
    const obstacle = taken.find((prefix) => overlaps(prefix, subnet))
    if (obstacle) {
      // Past the obstacle in one step: an IPv6 pool has more subnets than could be tried.
      const past = lastAddress(obstacle) + 1n
      value = past > value + step ? ((past + step - 1n) / step) * step : value + step
    } else if (!(await reserveSubnet(formatPrefix(subnet), hostNetns))) {
      value += step
    } else {
      // Whoever had it reserved until now may have it routed since.
      taken = await takenPrefixes(hostNetns)
      if (!taken.some((prefix) => overlaps(prefix, subnet))) return formatPrefix(subnet)
      releaseSubnet(formatPrefix(subnet), hostNetns)
    }
  }
  throw new HoldfastError('HF_ADDRESS_POOL_EXHAUSTED', `the host routes every /${prefixLength} of ${pool}`, {
    hint: 'Name a subnet, or give the engine another pool with --default-address-pool.',
  })
}

/** Everything that the host has an address in or a route to; default routes aside. */
async function takenPrefixes(hostNetns: number | undefined): Promise<Prefix[]> {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, hostNetns)
  try {
    const addresses = (await socket.dump(dumpAddresses()))
      .map(parseAddressReply)
      .flatMap((each) => (each ? [networkOf(each.address, each.prefixLength)] : []))
    const routes = (await socket.dump(dumpRoutes()))
      .map(parseRoute)
      .flatMap((route) => (route ? [route.destination] : []))
    return [...addresses, ...routes].filter(({ length }) => length > 0)
  } finally {
    socket.close()
  }
}
