/** Links that sit on one of the host's: macvlan and ipvlan. They are born inside the container, and die with it. */
import { HoldfastError } from '@holdfast/errors'
import { macBytes } from '../address.ts'
import { ipvlanData, macvlanData, newLink } from '../netlink/link-requests.ts'
import { dumpLinks, parseLink, type Link } from '../netlink/rtnetlink.ts'
import { dumpRoutes, parseRoute } from '../netlink/route-requests.ts'
import type { Host } from './host.ts'
import { ipvlanModes, macvlanModes, type IpvlanLink, type MacvlanLink } from './network-config.ts'

export interface ParentNeeds {
  link: MacvlanLink | IpvlanLink
  name: string
  netns: number
  mac: string | undefined
  mtu: number | undefined
}

export async function makeOnParent(host: Host, { link, name, netns, mac, mtu }: ParentNeeds): Promise<void> {
  const parent = await findParent(host, link.master)
  if (mtu !== undefined && mtu > parent.mtu) {
    throw new HoldfastError(
      'HF_INVALID_CONFIG',
      `mtu: ${mtu} is above that of ${parent.name}, ${parent.mtu}`,
      {
        details: { path: 'mtu' },
      },
    )
  }
  const common = { name, parent: parent.index, netns, mtu }
  if (link.kind === 'macvlan') {
    await host.route.request([
      newLink({
        ...common,
        kind: 'macvlan',
        mac: mac === undefined ? undefined : macBytes(mac, 'mac'),
        data: macvlanData(macvlanModes[link.mode]),
      }),
    ])
    return
  }
  if (mac !== undefined) {
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      'mac: an ipvlan link has the MAC address of the link that it sits on',
      {
        details: { field: 'mac' },
      },
    )
  }
  await host.route.request([newLink({ ...common, kind: 'ipvlan', data: ipvlanData(ipvlanModes[link.mode]) })])
}

/** The named link, or that of the host's default route. */
export async function findParent(host: Host, name: string | undefined): Promise<Link> {
  if (name !== undefined) {
    const link = await host.link(name)
    if (link) return link
    throw new HoldfastError('HF_NETWORK_FAILED', `the host has no link ${name}`, { details: { link: name } })
  }
  const routes = (await host.route.dump(dumpRoutes())).map(parseRoute)
  const index = routes.find((route) => route?.destination.length === 0 && route.table === 254)?.outputIndex
  const links = (await host.route.dump(dumpLinks())).map(parseLink)
  const link = links.find((each) => each.index === index)
  if (link) return link
  throw new HoldfastError(
    'HF_NETWORK_FAILED',
    'the host has no default route whose link could be the parent',
    {
      hint: 'Name one: "master": "eth0".',
    },
  )
}
