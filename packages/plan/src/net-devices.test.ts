import { describe, expect, it } from 'vitest'
import { explain } from './explain.ts'
import { configJson, indexOf, plan, refusal, stepsOf } from './minimal.test-support.ts'

const own = { namespaces: ['mount', 'network'].map((type) => ({ type })) }
const devices = (netDevices: object, linux: object = own) => plan(configJson({}, { ...linux, netDevices }))

describe('network devices', () => {
  it('are moved while the init waits, before hooks, and lo is up by then', () => {
    const made = devices({ eth1: {}, eth2: { name: 'lan%d' } })
    expect(made.netDevices).toEqual([
      { from: 'eth1', to: 'eth1', field: 'linux.netDevices.eth1' },
      { from: 'eth2', to: 'lan%d', field: 'linux.netDevices.eth2' },
    ])
    expect(indexOf(made.steps, 'sync')).toBeGreaterThan(indexOf(made.steps, 'loopback-up'))
    expect(explain(made)).toContain(
      'sync(create-runtime)\n  move-net-device("eth1", "eth1")\n  move-net-device("eth2", "lan%d")\n',
    )
  })

  it('cost nothing where there are none', () => {
    expect(stepsOf(devices({}).steps, 'sync')).toEqual([])
  })

  it('go into a namespace that is joined too', () => {
    expect(
      devices({ e: {} }, { namespaces: [{ type: 'mount' }, { type: 'network', path: '/n' }] }).netDevices,
    ).toHaveLength(1)
  })

  it.each([
    [{ 'a/b': {} }, 'linux.netDevices.a/b'],
    [{ 'sixteen-is-a-lot': {} }, 'linux.netDevices.sixteen-is-a-lot'],
    [{ e: { name: 'x:1' } }, 'linux.netDevices.e.name'],
    [{ e: { name: 'x%d%d' } }, 'linux.netDevices.e.name'],
    [{ e: { name: '..' } }, 'linux.netDevices.e.name'],
    [{ e: {}, f: { name: 'e' } }, 'linux.netDevices.f.name'],
    [{ e: { name: 5 } }, 'linux.netDevices.e.name'],
  ])('are refused by name: %j', (netDevices, path) => {
    expect(refusal(() => devices(netDevices))).toMatchObject({ code: 'HF_INVALID_CONFIG', path })
  })

  it('have nowhere to go without a network namespace', () => {
    expect(refusal(() => devices({ e: {} }, {}))).toMatchObject({ path: 'linux.netDevices' })
  })
})
