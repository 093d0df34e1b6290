/** Capabilities: capabilities(7). Numbers, as the kernel has them; their names are a matter of configurations. */
import { readFileSync } from 'node:fs'

/** Numbers of the capabilities in our own bounding set, ascending: what a process of ours can be granted. */
export function boundingCapabilities(): number[] {
  const status = readFileSync('/proc/self/status', 'latin1')
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return Array.from({ length: 64 }, (_, number) => number).filter((number) => (mask >> BigInt(number)) & 1n)
}
