/**
 * For those who look again after a while. What node:timers/promises does, without what it loads: that would be pages of
 * each shim's own. `ref`: whether it keeps the process alive.
 */
export function sleep(ms: number, { ref = true } = {}): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    if (!ref) timer.unref()
  })
}
