import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { boundingCapabilities } from './capability.ts'

it('numbers the capabilities of the bounding set, which this kernel has', () => {
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1'))
  const mask = boundingCapabilities().reduce((sum, number) => sum + 2 ** number, 0)
  const [, written] = /^CapBnd:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? []
  expect(mask).toBe(Number.parseInt(written!, 16))
  expect(Math.max(...boundingCapabilities())).toBeLessThanOrEqual(last)
})
