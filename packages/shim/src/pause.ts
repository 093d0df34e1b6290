/** For those who look again after a while. What node:timers/promises does, without what it loads. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
