/** Frames from a container that carry another sender's MAC address are dropped: two sets of nftables' bridge family. */
import { hasCode } from '@holdfast/errors'
import { macBytes } from '../address.ts'
import {
  addElements,
  deleteElements,
  dumpElements,
  parseElements,
  type ElementRequest,
} from '../netlink/nfnetlink.ts'
import { table, type Host } from './host.ts'
import { macText } from '../netlink/rtnetlink.ts'
import type { StateDir } from './state-dir.ts'

/** Elements first, so that no frame passes a port that is guarded without a sender. */
export async function guardMac(
  host: Host,
  dir: StateDir,
  guard: { link: string; mac: string },
): Promise<void> {
  try {
    await host.netfilter.request(addElements(elements(guard)))
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    if (!hasCode(error, 'ENOENT')) throw error
    using _ = await dir.installing()
    const { nftApply } = await import('../nft.ts')
    await nftApply(guardText, host.netns)
    await host.netfilter.request(addElements(elements(guard)))
  }
}

/** Whatever the link's senders are. Idempotent. */
export async function unguardLink(host: Host, link: string): Promise<void> {
  const place = { family: 'bridge' as const, table, set: 'senders' }
  const replies = await host.netfilter.dump({ ...dumpElements(place), tolerate: ['ENOENT'] })
  const senders = replies
    .flatMap(parseElements)
    .filter(({ key }) => key.subarray(0, 16).equals(linkKey(link)))
  for (const { key } of senders) await unguardMac(host, { link, mac: macText(key.subarray(16, 22)) })
}

/** Idempotent. */
export async function unguardMac(host: Host, guard: { link: string; mac: string }): Promise<void> {
  for (const element of elements(guard)) {
    try {
      await host.netfilter.request(deleteElements([element]))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
}

/** Takes the table away where nobody's senders are checked any more. */
export async function removeUnusedGuard(host: Host): Promise<void> {
  const set = { family: 'bridge' as const, table, set: 'guarded' }
  const replies = await host.netfilter.dump({ ...dumpElements(set), tolerate: ['ENOENT'] })
  if (replies.flatMap(parseElements).length > 0) return
  const { nftRun } = await import('../nft.ts')
  await nftRun(['delete', 'table', 'bridge', table], host.netns) // fails where there is none
}

/** Whether both elements are in place, and the rule that asks for them. */
export async function isGuarded(host: Host, { link, mac }: { link: string; mac: string }): Promise<boolean> {
  const { nftRun } = await import('../nft.ts')
  const outcome = await nftRun(['list', 'table', 'bridge', table], host.netns)
  if (outcome.status !== 0) return false
  const [, guarded = ''] = /set guarded \{([^]*?)\n\t\}/.exec(outcome.stdout) ?? []
  const [, senders = ''] = /set senders \{([^]*?)\n\t\}/.exec(outcome.stdout) ?? []
  const rule = /iifname @guarded iifname \. ether saddr != @senders drop/.test(outcome.stdout)
  return rule && guarded.includes(`"${link}"`) && senders.includes(`"${link}" . ${mac}`)
}

function elements({ link, mac }: { link: string; mac: string }): ElementRequest[] {
  const name = linkKey(link)
  const place = { family: 'bridge' as const, table }
  return [
    { ...place, set: 'senders', elements: [{ key: [name, macBytes(mac, 'mac')] }] },
    { ...place, set: 'guarded', elements: [{ key: [name] }] },
  ]
}

/** The kernel's `ifname`: 16 bytes, filled up with NUL. */
function linkKey(link: string): Buffer {
  const name = Buffer.alloc(16)
  name.write(link)
  return name
}

const guardText = `
add table bridge ${table}
add set bridge ${table} guarded { type ifname; }
add set bridge ${table} senders { type ifname . ether_addr; }
add chain bridge ${table} prerouting { type filter hook prerouting priority -300; policy accept; }
flush chain bridge ${table} prerouting
add rule bridge ${table} prerouting iifname @guarded iifname . ether saddr != @senders drop
`
