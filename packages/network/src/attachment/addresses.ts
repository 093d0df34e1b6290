/** Where an attachment's addresses come from: leases of our own, another plugin's result, or nowhere. */
import { readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  contains,
  formatAddress,
  formatPrefix,
  lastAddress,
  networkOf,
  parsePrefix,
  type Address,
} from '../address.ts'
import type { Range } from '../ipam.ts'
import type { Host } from './host.ts'
import { addressesOf, type InsideAddress } from './inside.ts'
import { LeaseFiles } from './lease-files.ts'
import type { Dns, NetworkConfig, Route } from './network-config.ts'
import type { StateDir } from './state-dir.ts'
import type { SetupRequest } from './verbs.ts'

const defaultPool = '10.213.0.0/16'

export interface Addresses {
  inside: InsideAddress[]
  routes: Route[]
  dns: Dns
}

export async function acquire(host: Host, dir: StateDir, request: SetupRequest): Promise<Addresses> {
  const { network, runtime, ipam } = request
  switch (network.ipam.from) {
    case 'nowhere':
      if (runtime && runtime.ips.length > 0) throw noAddresses()
      return { inside: [], routes: [], dns: {} }
    case 'caller': {
      if (!ipam?.ips || ipam.ips.length === 0) {
        throw new HoldfastError('HF_BAD_REQUEST', 'the IPAM plugin gave no addresses', {
          details: { field: 'ipam' },
        })
      }
      const inside = addressesOf({ interfaces: [], ips: ipam.ips, routes: [], dns: {} }, undefined)
      return { inside: withGateways(network, inside), routes: ipam.routes ?? [], dns: ipam.dns ?? {} }
    }
    case 'own': {
      const { routes, reserved } = network.ipam
      const sets = await rangeSets(host, dir, request)
      const leases = new LeaseFiles(dir.leases).take(request, { sets, reserved, wishes: runtime?.ips ?? [] })
      const inside = leases.map(({ address, range }) => ({
        address: { ...address, length: range.subnet.length },
        gateway: range.gateway,
      }))
      return { inside, routes, dns: {} }
    }
  }
}

function noAddresses(): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', 'an address is asked for in a network without addresses', {
    details: { field: 'ips' },
  })
}

/** The runtime's ranges beside the configuration's, as host-local has it; else a subnet of the network's own choice. */
async function rangeSets(host: Host, dir: StateDir, { network, runtime }: SetupRequest): Promise<Range[][]> {
  const configured = network.ipam.from === 'own' ? network.ipam.sets : []
  const sets = [...configured, ...(runtime?.ipRanges ?? [])]
  if (sets.length > 0) return sets
  const subnet = parsePrefix(await chosenSubnet(host, dir), 'subnet')
  const { family } = subnet
  const first = subnet.value + 1n
  return [[{ subnet, first, last: lastAddress(subnet) - 1n, gateway: { family, value: first } }]]
}

/** The first process chooses, while others wait; its choice is a symbolic link, made whole or not at all. */
async function chosenSubnet(host: Host, dir: StateDir): Promise<string> {
  const file = join(dir.path, 'subnet')
  const known = linkTarget(file)
  if (known !== undefined) return known
  using _ = await dir.installing()
  const meanwhile = linkTarget(file)
  if (meanwhile !== undefined) return meanwhile
  const { chooseSubnet } = await import('../subnet.ts')
  const subnet = await chooseSubnet(defaultPool, 24, host.netns)
  symlinkSync(subnet, file)
  return subnet
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    return undefined
  }
}

/** An IPAM plugin may name no gateway: the network's first address is it, where the bridge is to be one. */
function withGateways({ link }: NetworkConfig, inside: InsideAddress[]): InsideAddress[] {
  if (link.kind !== 'ptp' && !(link.kind === 'bridge' && link.isGateway)) return inside
  return inside.map(({ address, gateway }) => {
    const network = networkOf(address, address.length)
    const first: Address = { family: network.family, value: network.value + 1n }
    const chosen = gateway ?? first
    if (chosen.value !== address.value && contains(network, first)) return { address, gateway: chosen }
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `${formatPrefix(network)} has no gateway beside ${formatAddress(address)}`,
      {
        details: { field: 'ipam' },
      },
    )
  })
}

/**
 * What the container's routes are: the configured ones, and by the gateway to everything where it is the default: the first
 * of its family, where a network has several.
 */
export function routesOf({ link }: NetworkConfig, { inside, routes }: Addresses): Route[] {
  if (link.kind !== 'bridge' || !link.isDefaultGateway) return routes
  const defaults = ([4, 6] as const).flatMap((family): Route[] => {
    const dst = family === 4 ? '0.0.0.0/0' : '::/0'
    const gateway = inside.find((each) => each.address.family === family && each.gateway)?.gateway
    return gateway && !routes.some((route) => route.dst === dst) ? [{ dst, gw: formatAddress(gateway) }] : []
  })
  return [...routes, ...defaults]
}
