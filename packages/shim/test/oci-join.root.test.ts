import { expect, it, describe, beforeAll, afterAll } from 'vitest'
import { bindNamespace, closeFd, openNamespaceOf, umount } from '@holdfast/core'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { World, type Running } from './world.ts'

const hostID = 0x7125_0000
const maps = [{ containerID: 0, hostID, size: 65_536 }]

describe.skipIf(process.getuid?.() !== 0)('a container that joins the user namespace of another', () => {
  let world: World
  let first: Running
  let pid: number
  beforeAll(async () => {
    world = await World.open()
    first = await world.run({
      args: ['sleep', '1000'],
      config: ({ linux }) => {
        linux.namespaces.push({ type: 'user' })
        linux.uidMappings = linux.gidMappings = maps
      },
    })
    await first.createAndStart()
    ;({ pid } = await first.client.request('state', {}))
  })
  afterAll(async () => {
    await first.delete()
    await world.close()
  })

  const joined = (path: string, linux: object): Promise<Running> =>
    world.run({
      args: ['sh', '-c', 'stat -c %u:%g /dev/null /dev/mine; id -u; cat /proc/self/uid_map | tr -s " "'],
      config: (config) => {
        config['process'].user = { uid: 1000, gid: 1000 }
        config['linux'].namespaces.push({ type: 'user', path })
        config['linux'].devices = [{ type: 'c', path: '/dev/mine', major: 1, minor: 3, uid: 7, gid: 8 }]
        Object.assign(config['linux'], linux)
      },
    })
  const expected = `0:0\n7:8\n1000\n 0 ${hostID} 65536\n`

  it.each([
    ['without maps', {}],
    [
      'with a line that is none of its own',
      {
        uidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
        gidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
      },
    ],
  ])('has the owners that its maps make: %s', async (_, linux) => {
    const run = await joined(`/proc/${pid}/ns/user`, linux)
    await run.createAndStart()
    await run.event('exited')
    expect(run.log()).toBe(expected)
    await run.delete()
  })

  it('has them where the namespace is a file, too', async () => {
    const path = join(world.root, 'userns')
    writeFileSync(path, '')
    const fd = openNamespaceOf(pid, 'user')
    bindNamespace(fd, path)
    closeFd(fd)
    try {
      const run = await joined(path, {})
      await run.createAndStart()
      await run.event('exited')
      expect(run.log()).toBe(expected)
      await run.delete()
    } finally {
      umount(path)
    }
  })

  it('is refused as a user whom those maps do not have, before anything is made', async () => {
    const run = await joined(`/proc/${pid}/ns/user`, {})
    const config = structuredClone(run.bundle.config)
    config['process'].user.uid = 70_000
    writeFileSync(join(run.dir, 'config.json'), JSON.stringify(config))
    await expect(run.client.request('create', {})).rejects.toThrow('process.user.uid is 70000')
    await run.delete()
  })
})
