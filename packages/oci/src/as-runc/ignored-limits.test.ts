import { describe, expect, it } from 'vitest'
import { withoutIgnored } from './ignored-limits.ts'

function kept(memory: object, version: 1 | 2) {
  const warnings: string[] = []
  const result = withoutIgnored({ memory, cpu: {} }, version, (text) => warnings.push(text))
  return { memory: result.memory, warnings: warnings.map((text) => text.replace(/ has no effect: .*/, '')) }
}

describe('limits that nothing sets', () => {
  const memory = { limit: 7, kernel: 5, kernelTCP: 5n, swappiness: 0, disableOOMKiller: true }

  it('are left out with a warning each', () => {
    expect(kept(memory, 2)).toEqual({
      memory: { limit: 7 },
      warnings: ['kernel', 'kernelTCP', 'swappiness', 'disableOOMKiller'].map(
        (field) => `linux.resources.memory.${field}`,
      ),
    })
  })

  it('are those of v2 only there', () => {
    const { kernel: _, ...rest } = memory
    expect(kept(memory, 1)).toEqual({ memory: rest, warnings: ['linux.resources.memory.kernel'] })
  })

  it('are not spoken of where they ask for nothing', () => {
    expect(kept({ kernel: 0, kernelTCP: -1, disableOOMKiller: false }, 2)).toEqual({
      memory: {},
      warnings: [],
    })
  })

  it('are left for the plan to refuse where they are none', () => {
    expect(kept({ kernel: 'x' }, 2).memory).toEqual({ kernel: 'x' })
  })
})
