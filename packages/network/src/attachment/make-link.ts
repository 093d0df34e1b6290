/** The link of an attachment, whatever its kind, and its end inside configured. */
import { HoldfastError } from '@holdfast/errors'
import { macBytes, macOf } from '../address.ts'
import { findLink } from '../netlink/find-link.ts'
import type { NetlinkSocket } from '../netlink/netlink.ts'
import type { Link } from '../netlink/rtnetlink.ts'
import { ensureBridge, makePair, untilForwarding, type ReadyBridge } from './bridge-link.ts'
import { findDevice, takeDevice } from './host-device.ts'
import { setMtu } from '../netlink/link-requests.ts'
import type { Host } from './host.ts'
import {
  announce,
  configureInside,
  openInside,
  routeWishes,
  untilUnique,
  type InsideOptions,
} from './inside.ts'
import type { BridgeLink, ResultInterface, Route } from './network-config.ts'
import { makeOnParent } from './parent-link.ts'
import { makePointToPoint, pointToPointRoutes } from './point-to-point.ts'
import { attachmentAlias, hostLinkName, macOfName, type AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'
import type { Addresses } from './addresses.ts'
import type { SetupRequest } from './verbs.ts'
import type { Made } from './work.ts'

export interface LinkNeeds {
  key: AttachmentKey
  request: SetupRequest
  netns: number
  addresses: Addresses
  routes: Route[]
  publishes: boolean
  made: Made
  /** Called with a device's name before it is moved. */
  beforeTaking: (device: string) => void
}

export interface MadeLink {
  /** In the result's order. */
  interfaces: ResultInterface[]
  /** Which of them is the container's. */
  inside: ResultInterface
  hostLink: Link | undefined
}

export async function makeLink(host: Host, dir: StateDir, needs: LinkNeeds): Promise<MadeLink> {
  const { network } = needs.request
  switch (network.link.kind) {
    case 'bridge':
      return await onBridge(host, dir, needs)
    case 'ptp':
      return await pointToPoint(host, needs)
    case 'macvlan':
    case 'ipvlan': {
      const { runtime, interface: name } = needs.request
      const mac = runtime?.mac
      await makeOnParent(host, { link: network.link, name, netns: needs.netns, mac, mtu: network.mtu })
      return withoutHostLink(await finishInside(host, needs))
    }
    case 'host-device': {
      const device = await findDevice(host, network.link)
      needs.beforeTaking(device.name)
      await takeDevice(host, device.index, { netns: needs.netns, name: needs.request.interface })
      return withoutHostLink(await finishInside(host, needs))
    }
  }
}

async function onBridge(host: Host, dir: StateDir, needs: LinkNeeds): Promise<MadeLink> {
  const link = needs.request.network.link as BridgeLink
  const { key, request, netns, addresses, publishes } = needs
  const { mtu } = request.network
  const mac = macFor(needs)
  const bridgeNeeds = { link, mtu, addresses: addresses.inside, publishes }
  const bridge = await ensureBridge(host, dir, bridgeNeeds)
  needs.made.bridge = bridge
  const { hostLink, peerIndex } = await makePair(host, {
    ...bridgeNeeds,
    bridge,
    name: hostLinkName(key),
    alias: attachmentAlias(key),
    inside: { name: request.interface, mac: macBytes(mac, 'mac'), netns },
  })
  if (!link.disableContainerInterface) {
    const gatewayMac = link.isGateway ? await macOfGateway(host, bridge) : undefined
    const options = insideOptions(needs, { dad: link.enabledad, gatewayMac })
    const socket = openInside(host, options)
    try {
      await configureInside(host, socket, { index: peerIndex, options })
      await untilForwarding(host, bridge, hostLink.name)
      if (link.enabledad) await untilUnique(socket, peerIndex)
      if (addresses.inside.length > 0)
        await announce(socket, { index: peerIndex, mac: macBytes(mac, 'mac') }, options)
    } finally {
      socket.close()
    }
  }
  const inside = { name: request.interface, mac, mtu: hostLink.mtu, sandbox: sandbox(request) }
  const { gateway } = bridge
  return {
    interfaces: [
      { name: bridge.name, mac: bridge.mac, mtu: bridge.mtu },
      { name: hostLink.name, ...(hostLink.mac !== undefined && { mac: hostLink.mac }), mtu: hostLink.mtu },
      inside,
      // The reference plugin tells of it in the same place.
      ...(gateway.name === bridge.name ? [] : [{ name: gateway.name, mac: gateway.mac, mtu: bridge.mtu }]),
    ],
    inside,
    hostLink,
  }
}

/** A bridge that we didn't make takes the address of a port of its, and had none before the first came. */
async function macOfGateway(host: Host, { gateway, ours }: ReadyBridge): Promise<Buffer> {
  const mac = ours ? gateway.mac : (await host.link(gateway.name))?.mac
  return macBytes(mac ?? '', 'gateway')
}

function withoutHostLink(inside: ResultInterface): MadeLink {
  return { interfaces: [inside], inside, hostLink: undefined }
}

async function pointToPoint(host: Host, needs: LinkNeeds): Promise<MadeLink> {
  const { key, request, netns, addresses, publishes } = needs
  const mac = macFor(needs)
  const { hostLink } = await makePointToPoint(host, {
    name: hostLinkName(key),
    alias: attachmentAlias(key),
    mtu: request.network.mtu,
    inside: { name: request.interface, mac, netns },
    addresses: addresses.inside,
    publishes,
  })
  const inside = await finishInside(host, needs)
  return {
    interfaces: [
      { name: hostLink.name, ...(hostLink.mac !== undefined && { mac: hostLink.mac }), mtu: hostLink.mtu },
      inside,
    ],
    inside,
    hostLink,
  }
}

/** The end inside, where it is made already: found by its name, given what it needs. */
async function finishInside(host: Host, needs: LinkNeeds): Promise<ResultInterface> {
  const { request } = needs
  const options = insideOptions(needs, { dad: false, gatewayMac: undefined })
  const socket: NetlinkSocket = openInside(host, options)
  try {
    const link = await findLink(socket, request.interface)
    if (!link) throw new HoldfastError('HF_INTERNAL', `${request.interface} is not where it was made`)
    const { mtu } = request.network
    if (mtu !== undefined && link.mtu !== mtu) await socket.request([setMtu(link.index, mtu)])
    await configureInside(host, socket, { index: link.index, options })
    if (options.addresses.length > 0 && link.mac !== undefined && link.kind !== 'ipvlan') {
      await announce(socket, { index: link.index, mac: macBytes(link.mac, 'mac') }, options)
    }
    return {
      name: request.interface,
      ...(link.mac !== undefined && { mac: link.mac }),
      mtu: mtu ?? link.mtu,
      sandbox: sandbox(request),
    }
  } finally {
    socket.close()
  }
}

function insideOptions(
  { request, netns, addresses, routes }: LinkNeeds,
  more: Pick<InsideOptions, 'dad' | 'gatewayMac'>,
): InsideOptions {
  const pointToPointLink = request.network.link.kind === 'ptp'
  const wished = routeWishes(routes, addresses.inside)
  return {
    netns,
    name: request.interface,
    addresses: addresses.inside,
    routes: pointToPointLink ? [...pointToPointRoutes(addresses.inside), ...wished] : wished,
    noPrefixRoute: pointToPointLink,
    ...more,
  }
}

/** Made from the address: who gets that later has the same one, so no neighbour's cache is ever wrong about it. */
function macFor({ request, key, addresses }: LinkNeeds): string {
  const address = addresses.inside[0]?.address
  return request.runtime?.mac ?? (address ? macOf(address) : macOfName(hostLinkName(key)))
}

export function sandbox({ netns }: Pick<SetupRequest, 'netns'>): string {
  return typeof netns === 'string' ? netns : `/proc/self/fd/${netns}`
}
