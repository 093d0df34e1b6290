import { describe, expect, it } from 'vitest'
import {
  capabilityMask,
  capabilityNames,
  capabilityNumber,
  capabilitySets,
  lastCapability,
} from './capability.ts'

describe('capabilities', () => {
  it('has a name for every number of this kernel', () => {
    expect(capabilityNames.length).toBeGreaterThan(lastCapability())
  })

  it('numbers them as capabilities(7) does', () => {
    expect(['CAP_CHOWN', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_BPF'].map(capabilityNumber)).toEqual([
      0, 12, 21, 39,
    ])
    expect(capabilityNumber('CAP_EVERYTHING')).toBeUndefined()
    expect(capabilityMask(['CAP_CHOWN', 'CAP_BPF'])).toBe((1n << 39n) | 1n)
    expect(() => capabilityMask(['NET_ADMIN'])).toThrow(/NET_ADMIN/)
  })

  it('reads the five sets of a process', () => {
    const sets = capabilitySets(process.pid)
    expect(Object.keys(sets)).toEqual(['effective', 'permitted', 'inheritable', 'bounding', 'ambient'])
    for (const name of sets.effective) expect(sets.permitted).toContain(name)
  })
})
