import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CniHost, netnsPath, plugin } from './cni-fixture.ts'
import { run } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const isUp = async (netns: number) => (await run(netns, 'ip -o link show lo')).includes('LOOPBACK,UP')

describe.skipIf(process.getuid?.() !== 0)('the loopback plugin', { timeout: 60_000 }, () => {
  it('is a link to ours: up with ADD, looked at by CHECK, down with DEL', async () => {
    const program = join(host.stateDir, 'loopback')
    symlinkSync(plugin, program)
    const netns = host.namespace()
    // As containerd's CRI has it, which keeps the file's name for itself.
    const config = { cniVersion: '1.0.0', name: 'cni-loopback', type: 'loopback' }
    const call = { netns, interface: 'lo', program, config }
    const prevResult = await host.succeed('ADD', call)
    expect(prevResult).toEqual({
      cniVersion: '1.0.0',
      interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netnsPath(netns) }],
      ips: [
        { interface: 0, address: '127.0.0.1/8' },
        { interface: 0, address: '::1/128' },
      ],
      dns: {},
    })
    expect(await isUp(netns)).toBe(true)
    await host.succeed('ADD', call)
    await host.succeed('CHECK', { ...call, config: { ...config, prevResult } })
    await run(netns, 'ip link set lo down')
    expect(await host.fail('CHECK', { ...call, config: { ...config, prevResult } })).toMatchObject({
      code: 106,
    })
    await host.succeed('ADD', call)
    await host.succeed('DEL', call)
    expect(await isUp(netns)).toBe(false)
    await host.succeed('DEL', { ...call, netns: '' })
    await host.succeed('DEL', { ...call, netns: '/nowhere' })
    expect(host.files('attachments')).toEqual([])
  })

  it('hands on what the plugin before it said, and leaves the host’s own alone', async () => {
    const netns = host.namespace()
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'eth0', sandbox: netnsPath(netns) }],
      dns: {},
    }
    const config = { cniVersion: '1.1.0', name: 'net1', type: 'loopback', prevResult }
    expect(await host.succeed('ADD', { netns, interface: 'lo', config })).toEqual(prevResult)
    await host.succeed('STATUS', { config })
    await host.succeed('GC', { config: { ...config, 'cni.dev/valid-attachments': [] } })
    expect(await isUp(netns)).toBe(true)
    await host.succeed('DEL', { netns: host.netns, interface: 'lo', config })
    expect(await isUp(host.netns)).toBe(true)
  })
})
