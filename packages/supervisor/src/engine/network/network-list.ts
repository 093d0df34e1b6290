import type { EngineContext } from '../context.ts'
import { networkIdOf } from './network-id.ts'
import type { NetworkRecord } from '../engine.ts'

/** The three networks that are always there. */
export function listNetworks(context: EngineContext): NetworkRecord[] {
  const { bridge, subnets, ipMasq, mtu } = context.network.options
  const created = context.store.fact('created') ?? ''
  const plain = { created, enableIPv6: false, subnets: [], options: {} }
  return [
    {
      id: context.networkId,
      name: 'bridge',
      driver: 'bridge',
      created,
      enableIPv6: subnets.some(({ subnet }) => subnet.includes(':')),
      subnets: subnets.map(({ subnet, gateway }) => ({ subnet, gateway: gateway ?? '' })),
      options: {
        'com.docker.network.bridge.default_bridge': 'true',
        'com.docker.network.bridge.enable_icc': 'true',
        'com.docker.network.bridge.enable_ip_masquerade': String(ipMasq),
        'com.docker.network.bridge.name': bridge,
        ...(mtu !== undefined && { 'com.docker.network.driver.mtu': String(mtu) }),
      },
    },
    { id: networkIdOf(context, 'host'), name: 'host', driver: 'host', ...plain },
    { id: networkIdOf(context, 'none'), name: 'none', driver: 'null', ...plain },
  ]
}
