/** A link of the host's that moves into the container and comes back. */
import { readdirSync, realpathSync } from 'node:fs'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { findLink } from '../netlink/find-link.ts'
import { moveLink } from '../netlink/link-requests.ts'
import { dumpLinks, parseLink, setLink, type Link } from '../netlink/rtnetlink.ts'
import type { NetlinkSocket } from '../netlink/netlink.ts'
import { inNetns } from '../netns.ts'
import type { Host } from './host.ts'
import type { HostDevice } from './network-config.ts'

export async function findDevice(host: Host, device: HostDevice): Promise<Link> {
  const links = (await host.route.dump(dumpLinks())).map(parseLink)
  const wantedName = device.device ?? deviceName(host, device)
  const found = links.find(({ name, mac }) => (device.hwaddr ? mac === device.hwaddr : name === wantedName))
  const wanted = device.device ?? device.hwaddr ?? device.kernelpath ?? device.pciBusID
  if (found) return found
  throw new HoldfastError('HF_NETWORK_FAILED', `the host has no device ${wanted}`, {
    hint: 'It may be in another container already.',
    details: { device: wanted },
  })
}

/** `net` below a device in /sys has its links. */
function deviceName(host: Host, { kernelpath, pciBusID }: HostDevice): string | undefined {
  const path = kernelpath ?? (pciBusID === undefined ? undefined : `/sys/bus/pci/devices/${pciBusID}`)
  if (path === undefined) return undefined
  try {
    return inNetns(host.netns, () => readdirSync(`${realpathSync(path)}/net`)[0])
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    return undefined
  }
}

export async function takeDevice(
  host: Host,
  index: number,
  to: { netns: number; name: string },
): Promise<void> {
  await host.route.request([moveLink(index, to.netns, to.name)])
}

/**
 * Back to where it came from, under its old name. Nothing to do where it has left by itself: devices return
 * with the death of their namespace, what is virtual goes with it.
 */
export async function returnDevice(
  inside: NetlinkSocket,
  { name, device, hostNetns }: { name: string; device: string; hostNetns: number },
): Promise<boolean> {
  const link = await findLink(inside, name)
  if (!link) return false
  await inside.request([setLink({ link: link.index, up: false }), moveLink(link.index, hostNetns, device)])
  return true
}
