/** Gives memory back that a process needed at its start alone: madvise(2), malloc_trim(3). */
import { readFileSync } from 'node:fs'
import { addon, check } from './native.ts'

const native = addon as {
  madvise(start: bigint, length: bigint, advice: number): number
  mallocTrim(): number
}

const MADV_DONTNEED = 4

interface Mapping {
  start: bigint
  length: bigint
}

/**
 * Unmaps the pages of programs and libraries, which Node has touched by the tens of MiB when it is up; returns how many
 * KiB of them were mapped. What is needed again comes back from the page cache at a fault for sixteen pages or so.
 * Malloc's free pages go too.
 */
export function trimMemory(): number {
  const { mappings, resident } = parseFileMappings(readFileSync('/proc/self/smaps', 'latin1'))
  for (const { start, length } of mappings) check(native.madvise(start, length, MADV_DONTNEED), 'madvise')
  native.mallocTrim()
  return resident
}

/**
 * Of proc_pid_smaps(5): private mappings of files that nobody may write to, and of which no page is a copy. What a
 * relocation was written into lies in one that was made read-only afterwards, and must not be thrown away.
 */
export function parseFileMappings(smaps: string): { mappings: Mapping[]; resident: number } {
  const mappings: Mapping[] = []
  let resident = 0
  for (const text of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ [1-9]\d* +\//.exec(text) ?? []
    if (from === '' || sizeOf(text, 'Anonymous') !== 0) continue
    const start = BigInt(`0x${from}`)
    mappings.push({ start, length: BigInt(`0x${to}`) - start })
    resident += sizeOf(text, 'Rss') ?? 0
  }
  return { mappings, resident }
}

function sizeOf(mapping: string, field: string): number | undefined {
  const [, kibibytes] = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(mapping) ?? []
  return kibibytes === undefined ? undefined : Number(kibibytes)
}
