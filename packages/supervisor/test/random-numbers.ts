/** Repeatable: set HOLDFAST_SEED to what a failure printed. */
export function randomNumbers(): {
  seed: number
  next: () => number
  pick: <T>(from: readonly T[]) => T
} {
  const seed = Number(process.env['HOLDFAST_SEED'] ?? Date.now() % 1_000_000)
  let state = seed
  /** From 0 up to but not including 1. */
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x8000_0000
  }
  return { seed, next, pick: (from) => from[Math.floor(next() * from.length)]! }
}
