import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { closeFd, createNamespace, dupCloexec } from '../src/index.ts'
import { openNetfilterIn } from '../src/netfilter.ts'

const hex = (bytes: string) => Buffer.from(bytes.replaceAll(/\s/g, ''), 'hex')
const begin = hex('14000000 1000 0100 00000000 00000000 0000000a')
const end = hex('14000000 1100 0100 00000000 00000000 0000000a')
/** NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, `ip x`, owned by its socket. */
const table = hex('24000000 000a 0506 00000000 00000000 02000000 06000100 7800 0000 08000200 00000002')
const unacknowledged = hex(
  '24000000 000a 0106 00000000 00000000 02000000 06000100 7800 0000 08000200 00000002',
)

describe.skipIf(process.getuid?.() !== 0)('nftables of another network namespace', () => {
  it('are changed by a batch, whose refusal is an error, and what is owned goes with its owner', () => {
    const netns = createNamespace('net')
    const tables = () =>
      execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${netns}`, 'nft', 'list', 'tables'])
        .toString()
        .trim()
    try {
      const before = readdirSync('/proc/self/fd').length
      const netfilter = openNetfilterIn(netns)
      netfilter.apply(Buffer.concat([begin, table, end]))
      expect(tables()).toBe('table ip x')
      expect(() => netfilter.apply(Buffer.concat([begin, table, end]))).toThrow(/EEXIST/)
      const other = openNetfilterIn(netns)
      expect(() => other.apply(Buffer.concat([begin, table, end]))).toThrow(/EPERM/)
      other.close()
      netfilter.close()
      netfilter.close()
      expect(tables()).toBe('')
      expect(readdirSync('/proc/self/fd')).toHaveLength(before)
    } finally {
      closeFd(netns)
    }
  })

  it('stay where a duplicate of the owner is kept, and are changed by whoever takes it over', () => {
    const netns = createNamespace('net')
    try {
      const first = openNetfilterIn(netns)
      first.apply(Buffer.concat([begin, table, end]))
      const kept = dupCloexec(first.fd)
      first.close()
      const second = openNetfilterIn(netns, kept)
      expect(() => second.apply(Buffer.concat([begin, table, end]))).toThrow(/EEXIST/) // and not EPERM
      second.close()
      const third = openNetfilterIn(netns)
      third.apply(Buffer.concat([begin, table, end]))
      third.close()
    } finally {
      closeFd(netns)
    }
  })

  it('say so where nothing is answered', () => {
    const netns = createNamespace('net')
    const netfilter = openNetfilterIn(netns)
    try {
      expect(() => netfilter.apply(Buffer.concat([begin, unacknowledged, end]))).toThrow(/EPROTO/)
    } finally {
      netfilter.close()
      closeFd(netns)
    }
  })
})
