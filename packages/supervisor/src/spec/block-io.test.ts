import { describe, expect, it } from 'vitest'
import { resolveBlockIo } from './block-io.ts'
import { hostConfig } from './input.test-support.ts'

const resolve = (more: object) => resolveBlockIo({ ...hostConfig, ...more })

describe('the Blkio fields', () => {
  it('ask for nothing where they are empty', () => {
    expect(resolve({})).toBeUndefined()
    expect(resolve({ BlkioWeight: 500 })).toEqual({ weight: 500 })
  })

  it.each([
    [{ BlkioWeight: 5 }, 'HostConfig.BlkioWeight', 'from 10 to 1000'],
    [{ BlkioWeightDevice: [{ Path: '/dev/null', Weight: 1001 }] }, 'HostConfig.BlkioWeightDevice', '10 to'],
    [{ BlkioDeviceReadBps: [{ Path: '/dev/nosuch', Rate: 1 }] }, 'HostConfig.BlkioDeviceReadBps', 'no such'],
    [
      { BlkioDeviceWriteIOps: [{ Path: '/dev/null', Rate: 1 }] },
      'HostConfig.BlkioDeviceWriteIOps',
      'not a block',
    ],
  ])('refuse %j', (more, field, words) => {
    expect(() => resolve(more)).toThrow(
      expect.objectContaining({ details: { field }, message: expect.stringContaining(words) }),
    )
  })
})
