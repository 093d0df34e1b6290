import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { EngineWorld } from './engine-world.ts'

describe.skipIf(process.getuid?.() !== 0)('ports on [::1]', () => {
  let world: EngineWorld
  beforeAll(async () => {
    world = await EngineWorld.open()
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  const serve = (HostIp: string, HostPort = '') =>
    world.start('httpd -f -h /www', {
      NetworkMode: 'bridge',
      PortBindings: { '80/tcp': [{ HostIp, HostPort }] },
    })
  const bindings = (id: string) => world.engine.get(id).networks['bridge']!.ports['80/tcp']!
  const page = async (host: string, port: string) => (await fetch(`http://${host}:${port}/`)).text()
  /** The program in the container may not listen yet, or the shim may be waiting for a zygote to be warm. */
  const listens = (host: string, port: string) =>
    eventually(async () => (await page(host, port).catch(() => '')) === 'it works\n', 30_000)
  const remove = (id: string) => world.engine.remove(id, { force: true, volumes: false })
  const refused = (host: string, port: string) => expect(page(host, port)).rejects.toThrow('fetch failed')

  it('are published beside those of IPv4, as docker does, and gone when the container is', async () => {
    const id = await serve('')
    const [v4, v6] = bindings(id)
    expect(v4).toMatchObject({ HostIp: '0.0.0.0' })
    expect(v6).toEqual({ HostIp: '::', HostPort: v4!.HostPort })
    await listens('127.0.0.1', v4!.HostPort)
    expect(await page('[::1]', v4!.HostPort)).toBe('it works\n')
    expect(await page('localhost', v4!.HostPort)).toBe('it works\n')
    await remove(id)
    await refused('[::1]', v4!.HostPort)
    await refused('127.0.0.1', v4!.HostPort)
  })

  it('can be all that is published', async () => {
    const id = await serve('::1')
    const [only, ...more] = bindings(id)
    expect(only).toMatchObject({ HostIp: '::1' })
    expect(more).toEqual([])
    await listens('[::1]', only!.HostPort)
    await refused('127.0.0.1', only!.HostPort)
    await remove(id)
  })

  it('show the container the gateway as the peer, as 127.0.0.1 does', async () => {
    const id = await world.start('nc -ll -p 80 -e netstat -tn', {
      NetworkMode: 'bridge',
      PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '' }] },
    })
    const [{ HostPort }] = bindings(id) as [{ HostPort: string }]
    const { gateway } = world.engine.get(id).networks['bridge']!
    for (const host of ['127.0.0.1', '::1']) {
      const nc = ['nc', '-w', '3', host, HostPort]
      const heard = () => spawnSync('busybox', nc, { input: '', encoding: 'utf8' }).stdout
      await eventually(() => heard().includes(`${gateway}:`))
    }
    await remove(id)
  })

  it('outlive the engine, and a shim that is killed', async () => {
    const id = await serve('')
    const [{ HostPort }] = bindings(id) as [{ HostPort: string }]
    await listens('[::1]', HostPort)
    await world.engine.close()
    expect(await page('[::1]', HostPort)).toBe('it works\n')
    await world.reopen()
    expect(await page('[::1]', HostPort)).toBe('it works\n')
    process.kill(shimOf(id), 'SIGKILL')
    await listens('[::1]', HostPort)
    await remove(id)
    await refused('[::1]', HostPort)
  })

  it('name who has a port that is taken, a container or a process, and leave nothing', async () => {
    const id = await serve('::1')
    const [{ HostPort }] = bindings(id) as [{ HostPort: string }]
    await expect(serve('::1', HostPort)).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: `port [::1]:${HostPort}/tcp is in use by container ${id.slice(0, 12)}`,
    })
    await expect(serve('', HostPort)).rejects.toMatchObject({ code: 'HF_PORT_IN_USE' })
    const taken = createServer()
    taken.listen({ port: 0, host: '::', ipv6Only: true })
    await once(taken, 'listening')
    const port = String((taken.address() as AddressInfo).port)
    await expect(serve('', port)).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: expect.stringMatching(
        new RegExp(`^port \\[::\\]:${port}/tcp is in use by .* \\(pid ${process.pid}\\)$`),
      ),
    })
    await refused('127.0.0.1', port)
    taken.close()
    await remove(id)
    const again = await serve('::1', HostPort)
    await listens('[::1]', HostPort)
    await remove(again)
    for (const record of world.engine.list()) await remove(record.id)
  })

  function shimOf(id: string): number {
    const name = world.engine.get(id).name
    const isShim = (pid: string) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(`holdfast: shim ${name}`)
      } catch {
        return false // ended meanwhile
      }
    }
    return Number(readdirSync('/proc').find((pid) => /^\d+$/.test(pid) && isShim(pid)))
  }
})
