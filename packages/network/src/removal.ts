/**
 * The end of a link. Deleting one holds the kernel's network lock through two RCU grace periods (15 to 20 ms), so it
 * happens on a socket of its own, and most often not at all: a dying namespace takes its links along.
 */
import type { NetworkContext } from './context.ts'
import { deleteLink, getLink, setLink } from './rtnetlink.ts'

/** How long a namespace may take to die by itself before its link is deleted. */
const graceMilliseconds = 250

/** Silences a link at once: nothing passes any more, whatever still lives behind it. */
export async function silenceLink({ removal }: NetworkContext, link: string): Promise<void> {
  await removal.request([setLink({ link, up: false, tolerate: ['ENODEV'] })])
}

/** Deletes the link if it is there, and frees what it carried. */
export async function buryLink(context: NetworkContext, link: string): Promise<void> {
  await context.removal.request([deleteLink(link)])
  context.ipam.free(link, context.plan.ranges)
}

/** As `buryLink`, in its own time. `settleRemovals` waits for it; a process that ends before leaves it to `restore`. */
export function buryLinkLater(context: NetworkContext, link: string): void {
  const work = wait(graceMilliseconds)
    .then(async () => {
      const [replies] = await context.removal.request([getLink(link, ['ENODEV'])])
      if (replies?.[0] === undefined) context.ipam.free(link, context.plan.ranges)
      else await buryLink(context, link)
    })
    // Not lost: the lease stays `leaving`, and whoever needs the address, or the next restore, tries again.
    .catch(() => undefined)
    .finally(() => context.removals.delete(work))
  context.removals.add(work)
}

export async function settleRemovals({ removals }: NetworkContext): Promise<void> {
  await Promise.all(removals)
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref()
  })
}
