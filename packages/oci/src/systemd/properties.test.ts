import { describe, expect, it } from 'vitest'
import { planUpdate, type DeviceRule } from '@holdfast/plan'
import { annotatedProperties, deviceProperties, limitProperties, type Property } from './properties.ts'

const limits = (resources: object, version: 1 | 2) =>
  plain(
    limitProperties(
      planUpdate(resources, {
        version,
        directories: [{ as: 'c', controllers: ['memory', 'cpu', 'cpuset', 'pids', 'io', 'blkio'] }],
      }),
    ),
  )
const plain = (properties: Property[]) =>
  Object.fromEntries(properties.map(([name, { signature, value }]) => [name, [signature, value]]))

describe('limits as properties', () => {
  it('are what is written into the files of cgroup v2', () => {
    const memory = { limit: 64, reservation: 32, swap: 96 }
    const cpu = { shares: 1024, quota: 15_000, period: 100_000, cpus: '0-1,9', mems: '0' }
    const unified = { 'memory.high': '60', 'memory.min': '1' }
    expect(limits({ memory, cpu, pids: { limit: 7 }, unified }, 2)).toEqual({
      MemoryMax: ['t', 64n],
      MemoryLow: ['t', 32n],
      MemorySwapMax: ['t', 32n],
      MemoryHigh: ['t', 60n],
      MemoryMin: ['t', 1n],
      CPUWeight: ['t', 100n],
      CPUQuotaPeriodUSec: ['t', 100_000n],
      CPUQuotaPerSecUSec: ['t', 150_000n],
      AllowedCPUs: ['ay', [3, 2]],
      AllowedMemoryNodes: ['ay', [1]],
      TasksMax: ['t', 7n],
    })
  })

  it('are what is written into the files of cgroup v1', () => {
    const cpu = { shares: 512, quota: 33_333, period: 100_000 }
    expect(limits({ memory: { limit: 64 }, cpu, pids: { limit: -1 } }, 1)).toEqual({
      MemoryLimit: ['t', 64n],
      CPUShares: ['t', 512n],
      CPUQuotaPeriodUSec: ['t', 100_000n],
      CPUQuotaPerSecUSec: ['t', 340_000n],
      TasksMax: ['t', 2n ** 64n - 1n],
    })
  })

  it('have a word for none, and for idle', () => {
    expect(limits({ cpu: { quota: -1, idle: 1 }, memory: { limit: -1 } }, 2)).toMatchObject({
      CPUQuotaPerSecUSec: ['t', 2n ** 64n - 1n],
      CPUWeight: ['t', 0n],
      MemoryMax: ['t', 2n ** 64n - 1n],
    })
  })
})

describe('device rules as properties', () => {
  const all: DeviceRule = { allow: false, type: 'a', major: '*', minor: '*', access: 'rwm' }
  const one: DeviceRule = { allow: true, type: 'c', major: 1, minor: 3, access: 'rw' }

  it('are the list of what is allowed', () => {
    const terminals: DeviceRule = { ...one, major: 136, minor: '*' }
    const disks: DeviceRule = { ...one, type: 'b', major: '*', minor: '*', access: 'm' }
    expect(plain(deviceProperties([all, one, terminals, disks]))).toEqual({
      DevicePolicy: ['s', 'strict'],
      DeviceAllow: [
        'a(ss)',
        [
          ['/dev/char/1:3', 'rw'],
          ['char-136', 'rw'],
          ['block-*', 'm'],
        ],
      ],
    })
  })

  it('are none where everything is allowed in the end, and refused where a part is taken away', () => {
    expect(deviceProperties([all, one, { ...all, allow: true }])).toEqual([])
    expect(() => deviceProperties([all, one, { ...one, allow: false }])).toThrow('linux.resources.devices')
    expect(() =>
      deviceProperties([
        { ...all, allow: true },
        { ...one, allow: false },
      ]),
    ).toThrow('devices')
  })
})

describe('annotations as properties', () => {
  const of = (name: string, value: string) =>
    plain(annotatedProperties({ [`org.systemd.property.${name}`]: value }))

  it.each([
    ['TimeoutStopUSec', 'uint64 5', { TimeoutStopUSec: ['t', 5n] }],
    ['TimeoutStopSec', '7', { TimeoutStopUSec: ['t', 7_000_000n] }],
    ['CollectMode', "'inactive-or-failed'", { CollectMode: ['s', 'inactive-or-failed'] }],
    ['SendSIGHUP', 'true', { SendSIGHUP: ['b', true] }],
    ['After', "['a.service', 'b.service']", { After: ['as', ['a.service', 'b.service']] }],
    ['Nice', '-5', { Nice: ['i', -5] }],
  ])('%s %s', (name, value, expected) => {
    expect(of(name, value)).toEqual(expected)
  })

  it('that are no values are refused, and others are not theirs', () => {
    expect(() => of('Nice', 'nice')).toThrow('annotations.org.systemd.property.Nice')
    expect(() => of('../x', '1')).toThrow('annotations.')
    expect(annotatedProperties({ 'org.other': 'x' })).toEqual([])
  })
})
