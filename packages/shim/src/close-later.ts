/**
 * Closes what nobody needs any more, once the clients have been told what they wait for: each call is a detour through
 * code that is not in the caches.
 */
import { closeFd } from '@holdfast/core'

const restMs = 5
const waiting: number[] = []

export function closeLater(fd: number): void {
  if (waiting.push(fd) > 1) return
  setTimeout(() => {
    for (const each of waiting.splice(0)) closeFd(each)
  }, restMs)
}
