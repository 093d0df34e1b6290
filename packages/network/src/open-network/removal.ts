/**
 * The end of a link. Deleting one holds the kernel's network lock through two RCU grace periods (15 to 20
 * ms), so it happens on a socket of its own, and most often not at all: a dying namespace takes its links
 * along.
 */
import type { NetworkContext } from './context.ts'
import { findLink } from '../netlink/find-link.ts'
import { deleteLink, setLink } from '../netlink/rtnetlink.ts'
import { Steps } from '../steps.ts'

/** How long a namespace may take to die by itself before its link is deleted. */
const graceMilliseconds = 250

/** Silences a link at once: nothing passes any more, whatever still lives behind it. */
export async function silenceLink({ removal }: NetworkContext, link: string): Promise<void> {
  await removal.request([setLink({ link, up: false, tolerate: ['ENODEV'] })])
}

/** Deletes the link if it is there, and frees what it carried. */
export async function buryLink(context: NetworkContext, link: string): Promise<void> {
  await context.removal.request([deleteLink(link)])
  await free(context, link)
}

/** The link is gone. Its policy goes before its addresses can be another's, with another's policy. */
async function free(context: NetworkContext, link: string): Promise<void> {
  await context.egress.removeLink(link)
  context.ipam.free(link, context.plan.ranges)
}

/** As `buryLink`, in its own time. A process that ends before leaves it to `restore`. */
export function buryLinkLater(context: NetworkContext, link: string): void {
  const timer = setTimeout(() => {
    context.removals.set(link, { done: finish(context, link) })
  }, graceMilliseconds)
  timer.unref()
  context.removals.set(link, { timer })
}

async function finish(context: NetworkContext, link: string): Promise<void> {
  try {
    if (await findLink(context.removal, link)) await buryLink(context, link)
    else await free(context, link)
  } catch {
    // Not lost: the lease stays `leaving`, and whoever needs the address, or the next restore, tries again.
  } finally {
    context.removals.delete(link)
  }
}

/** Ends every removal now: nobody is there to do it later. */
export async function settleRemovals(context: NetworkContext): Promise<void> {
  const steps = new Steps()
  for (const [link, { timer, done }] of context.removals) {
    clearTimeout(timer)
    await steps.attempt(() => done ?? buryLink(context, link))
  }
  context.removals.clear()
  steps.end('removing links failed')
}
