/** System calls that belong together, with the reason why they are let through. */
export interface CallGroup {
  theme: string
  why: string
  calls: readonly string[]
}

/** Names as in syscalls(2), separated by spaces. */
export function group(theme: string, why: string, names: string): CallGroup {
  return { theme, why, calls: names.trim().split(/\s+/) }
}
