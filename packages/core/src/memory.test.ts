import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parseFileMappings, trimMemory } from './memory.ts'

const mapping = (line: string, anonymous: number) =>
  `${line}\nSize:              40 kB\nRss:               32 kB\nAnonymous:          ${anonymous} kB\nVmFlags: rd\n`

it('takes clean read-only parts of files alone', () => {
  const smaps = [
    mapping('00400000-0040a000 r--p 00000000 fe:00 77 /usr/bin/node', 0),
    mapping('0040a000-00414000 r-xp 0000a000 fe:00 77 /usr/bin/a (deleted)', 0),
    mapping('00414000-0041e000 r--p 00014000 fe:00 77 /usr/bin/node', 4), // relocated
    mapping('0041e000-00428000 rw-p 0001e000 fe:00 77 /usr/bin/node', 0),
    mapping('00428000-00432000 r--s 00000000 fe:00 78 /shared', 0),
    mapping('7f0000000000-7f000000a000 r--p 00000000 00:00 0 ', 0),
    mapping('7ffc00000000-7ffc0000a000 r-xp 00000000 00:00 0 [vdso]', 0),
  ].join('')
  expect(parseFileMappings(smaps)).toEqual({
    mappings: [
      { start: 0x400000n, length: 0xa000n },
      { start: 0x40a000n, length: 0xa000n },
    ],
    resident: 64,
  })
})

it('makes this process smaller, and it goes on', () => {
  const residentFiles = () =>
    Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1])
  const before = residentFiles()
  expect(trimMemory()).toBeGreaterThan(10_000)
  expect(residentFiles()).toBeLessThan(before - 10_000)
  expect(new Intl.NumberFormat('en').format(1234.5)).toBe('1,234.5')
})
