/** The repair of a network for callers without the long-lived object, such as an executable's CHECK and GC. */
import type { Attachment, RulesOptions } from '../bridge.ts'
import { attachmentKey, publicationOf } from './context.ts'
import { findLink } from '../netlink/find-link.ts'
import { NetlinkSocket, NETLINK_NETFILTER, NETLINK_ROUTE } from '../netlink/netlink.ts'
import { repair, type Repair, type RepairContext } from './repair.ts'
import { validateOptions } from '../validate.ts'

/** Whether anything is changed. */
export interface RepairOptions {
  /** Default true; false: only say what is amiss. */
  fix?: boolean
}

/**
 * Looks at a network that these attachments are on; a network that never was is made. Nothing is removed: what
 * belongs to nobody is `restore`'s or the caller's.
 */
export async function repairNetwork(
  options: RulesOptions,
  attachments: Attachment[],
  { fix = true }: RepairOptions = {},
): Promise<Repair[]> {
  const plan = validateOptions(options)
  const route = NetlinkSocket.open(NETLINK_ROUTE, options.hostNetns)
  const netfilter = NetlinkSocket.open(NETLINK_NETFILTER, options.hostNetns)
  try {
    const link = await findLink(route, options.bridge)
    const context: RepairContext = {
      options,
      plan,
      route,
      netfilter,
      published: new Map(attachments.map((each) => [attachmentKey(each), publicationOf(each)])),
      bridge: { index: link?.index ?? 0, mac: Buffer.alloc(6) },
    }
    return await repair(context, { fix })
  } finally {
    route.close()
    netfilter.close()
  }
}
