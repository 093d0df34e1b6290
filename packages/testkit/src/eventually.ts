import { setTimeout as delay } from 'node:timers/promises'

/**
 * Polls until `probe` returns something truthy, and returns it. For conditions of the kernel that nothing announces
 * (a cgroup empties, a link is gone); where an event exists, wait for the event. Fails with the last error or value.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  timeoutMs = 45_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let last: unknown
    try {
      const value = await probe()
      if (value) return value
      last = value
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) {
      throw new Error(`did not happen within ${timeoutMs} ms; last: ${String(last)}`, { cause: last })
    }
    await delay(10)
  }
}
