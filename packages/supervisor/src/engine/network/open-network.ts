import { join } from 'node:path'
import { HoldfastError } from '@holdfast/errors'
import {
  chooseSubnet,
  formatAddress,
  formatPrefix,
  networkOf,
  openBridgeNetwork,
  parseInterfaceAddress,
  type BridgeNetwork,
} from '@holdfast/network'
import type { ContainerStore } from '../../records/container-store.ts'
import { refusalOf } from './egress.ts'
import { withMachineLock } from '../machine-lock.ts'
import type { EngineOptions } from '../open-engine.ts'
import type { Paths } from '../paths.ts'

/** The instance's bridge, made or found again. */
export async function openNetwork(
  options: EngineOptions,
  paths: Paths,
  store: ContainerStore,
): Promise<BridgeNetwork> {
  const { instance, fixedCidrV6, addressPool } = options
  const open = (subnet: SubnetWithGateway): Promise<BridgeNetwork> =>
    openBridgeNetwork({
      name: 'bridge',
      bridge: bridgeName(instance),
      // With a prefix, since an instance may be called what nft's grammar knows as a word (log, list, inet).
      table: bridgeName(instance),
      subnets: [subnet, ...(fixedCidrV6 === undefined ? [] : [{ subnet: fixedCidrV6 }])],
      stateDir: join(paths.networks, 'bridge'),
      ipMasq: true,
      relays: true,
    })
  // Until the bridge has its address, another instance that starts would find the same subnet free.
  const network = await withMachineLock(`${options.idRangesFile}.subnets`, async () => {
    try {
      return await open(await subnetOf(options, store))
    } catch (error) {
      // Somebody else has the subnet by now; a bridge that is about to be removed does as well with any other.
      if (!options.purging || !isSubnetTaken(error)) throw error
      return await open(subnetAndFirst(await chooseSubnet(addressPool.base, addressPool.size)))
    }
  })
  network.watch((event) => {
    const refusal = refusalOf(event)
    if (refusal) {
      options.logger.warn(refusal, "refused by a container's egress policy")
      return
    }
    // A namespace may die before its container is detached: nothing that anybody needs to know.
    const level = event.type === 'link-lost' ? 'debug' : 'warn'
    options.logger[level]({ event }, 'the bridge network was changed from outside')
  })
  return network
}

function isSubnetTaken(error: unknown): boolean {
  return error instanceof HoldfastError && error.details?.['subnet'] !== undefined
}

/** Chosen once, so that addresses stay what they were across restarts. */
async function subnetOf(
  { bip, addressPool }: EngineOptions,
  store: ContainerStore,
): Promise<SubnetWithGateway> {
  if (bip !== undefined) return subnetAround(bip)
  const known = store.fact('bridge-subnet')
  const chosen = known ?? (await chooseSubnet(addressPool.base, addressPool.size))
  if (known === undefined) store.setFact('bridge-subnet', chosen)
  return subnetAndFirst(chosen)
}

/** `inspect` shows the gateway, and `host-gateway` in `--add-host` stands for it: it is named, not left to the network. */
interface SubnetWithGateway {
  subnet: string
  gateway: string
}

/** `10.213.4.9/24`: the gateway, and the subnet that it lies in. */
export function subnetAround(bip: string): SubnetWithGateway {
  const gateway = parseInterfaceAddress(bip, 'bip')
  return {
    subnet: formatPrefix(networkOf(gateway, gateway.length)),
    gateway: formatAddress(gateway),
  }
}

/** `10.213.4.0/24`: with the first address that a host can have, the gateway by custom. */
export function subnetAndFirst(subnet: string): SubnetWithGateway {
  const { family, value } = parseInterfaceAddress(subnet, 'subnet')
  return { subnet, gateway: formatAddress({ family, value: value + 1n }) }
}

/** A link's name has at most 15 bytes, an instance's 8. */
function bridgeName(instance: string): string {
  return `hf-${instance}`
}
