/** What a child process finds on its standard input, as a file in memory: it may read it, or not, or twice. */
import { openSync } from 'node:fs'
import { closeFd, memfdCreate } from '@holdfast/core'

/** A descriptor to read from, the caller's to close. */
export function fileWith(input: Buffer): number {
  const written = memfdCreate('input', input)
  try {
    return openSync(`/proc/self/fd/${written}`, 'r') // at offset 0
  } finally {
    closeFd(written)
  }
}
