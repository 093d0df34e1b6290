import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineWorld } from './engine-world.ts'

describe.skipIf(process.getuid?.() !== 0)('named namespaces', () => {
  let world: EngineWorld

  beforeAll(async () => {
    world = await EngineWorld.open()
  })

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  })

  it('are joined by containers that come and go', async () => {
    const { ino, path, owner } = await world.engine.createNamespace('net', 'shop', '')
    expect([owner, path]).toEqual(['host', `${world.root}/run/ns/net/shop`])
    const look = () =>
      world.run('readlink /proc/self/ns/net; ip -o link | grep -c "lo: .*UP"', { NetworkMode: 'ns:shop' })
    expect((await look()).output).toBe(`net:[${ino}]\n1\n`)
    expect((await look()).output).toBe(`net:[${ino}]\n1\n`)
    await expect(world.engine.createNamespace('net', 'shop', '')).rejects.toMatchObject({
      code: 'HF_NAME_IN_USE',
    })
    world.engine.removeNamespace('net', 'shop')
    expect(existsSync(path)).toBe(false)
  })

  it('give their members rights over what their user namespace owns', async () => {
    const user = await world.engine.createNamespace('user', 'team', '')
    await world.engine.createNamespace('net', 'lab', 'team')
    const { output } = await world.run(
      'readlink /proc/self/ns/user; ip link add name hf0 type bridge && ip link del hf0 && echo mine',
      { NetworkMode: 'ns:lab', CapAdd: ['NET_ADMIN'] },
    )
    expect(output).toBe(`user:[${user.ino}]\nmine\n`)
    expect(world.engine.namedNamespaces()).toMatchObject([
      { type: 'net', name: 'lab', owner: 'team' },
      { type: 'user', name: 'team', owner: 'host' },
    ])
    expect(() => world.engine.removeNamespace('user', 'team')).toThrow('net/lab')
    for (const { id } of world.engine.list()) await world.engine.remove(id, { force: true, volumes: false })
    world.engine.removeNamespace('net', 'lab')
    world.engine.removeNamespace('user', 'team')
  })

  it('are found again by the next engine, with their ids', async () => {
    const { ino } = await world.engine.createNamespace('user', 'kept', '')
    const map = (await world.run('cat /proc/self/uid_map', { UsernsMode: 'ns:kept' })).output
    for (const { id } of world.engine.list()) await world.engine.remove(id, { force: true, volumes: false })
    await world.engine.close()
    await world.reopen()
    expect(world.engine.namedNamespaces()).toMatchObject([{ name: 'kept', ino }])
    expect((await world.run('cat /proc/self/uid_map', { UsernsMode: 'ns:kept' })).output).toBe(map)
    expect((await world.run('cat /proc/self/uid_map')).output).not.toBe(map)
    for (const { id } of world.engine.list()) await world.engine.remove(id, { force: true, volumes: false })
    world.engine.removeNamespace('user', 'kept')
  })

  it('are not removed while a container is in them', async () => {
    await world.engine.createNamespace('ipc', 'busy', '')
    const id = await world.start('sleep 100', { IpcMode: 'ns:busy' })
    expect(() => world.engine.removeNamespace('ipc', 'busy')).toThrow('in use by container')
    await world.engine.remove(id, { force: true, volumes: false })
    world.engine.removeNamespace('ipc', 'busy')
  })

  it.each([
    ['pid', 'x', 'HF_UNSUPPORTED'],
    ['mnt', 'x', 'HF_BAD_REQUEST'],
    ['net', '../x', 'HF_BAD_REQUEST'],
    ['net', '', 'HF_BAD_REQUEST'],
  ])('refuse %s %j', async (type, name, code) => {
    await expect(world.engine.createNamespace(type, name, '')).rejects.toMatchObject({ code })
    expect(() => world.engine.removeNamespace(type, name)).toThrow()
  })

  it('refuse an owner that is not there', async () => {
    await expect(world.engine.createNamespace('net', 'x', 'nobody')).rejects.toMatchObject({
      code: 'HF_NAMESPACE_NOT_FOUND',
    })
    expect(world.engine.namedNamespaces()).toEqual([])
  })
})
