import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { World } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('a container whose log lies on a full disk', () => {
  let world: World
  let disk: string
  beforeAll(async () => {
    world = await World.open()
    disk = join(world.root, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk])
  })
  afterAll(() => {
    execFileSync('umount', [disk])
    return world.close()
  })

  it('runs to its end, keeps a log that can be read, and is warned of once', async () => {
    const path = join(disk, 'x-json.log')
    const run = await world.run({
      args: ['sh', '-c', 'yes "a line that will not fit" | head -c 5000000; exit 9'],
      log: { driver: 'json-file', path, maxSize: -1, maxFile: 1 },
    })
    await run.createAndStart()
    expect((await run.event('exited')).exit.exitCode).toBe(9)
    expect(statfsSync(disk).bavail).toBeLessThan(100)
    const lines = readFileSync(path, 'utf8').split('\n')
    expect(lines.pop()).toBe('') // no torn line
    for (const line of lines)
      expect((JSON.parse(line) as { log: string }).log).toBe('a line that will not fit\n')
    const { log } = await run.client.request('state', {})
    expect(log.dropped).toBeGreaterThan(0)
    expect(log.dropped + lines.length).toBe(Math.ceil(5_000_000 / 25))
    expect(readFileSync(join(run.dir, 'shim.log'), 'utf8').match(/full disk/g)).toHaveLength(1)
    await run.delete()
  })

  it('logs again when there is room', async () => {
    const path = join(disk, 'y-json.log')
    writeFileSync(join(disk, 'filler'), '')
    const run = await world.run({
      args: ['sh', '-c', 'echo lost; read go; echo kept'],
      log: { driver: 'json-file', path, maxSize: -1, maxFile: 1 },
      stdin: { open: true, once: false },
    })
    const { bavail, bsize } = statfsSync(disk)
    if (bavail > 0) writeFileSync(join(disk, 'filler'), Buffer.alloc(bavail * bsize))
    await run.createAndStart()
    const client = await run.client.attach({ stdin: true, stdout: true })
    await eventually(async () => (await run.client.request('state', {})).log.dropped === 1)
    writeFileSync(join(disk, 'filler'), '')
    await client.write(Buffer.from('go\n'))
    await run.event('exited')
    expect(readFileSync(path, 'utf8')).toMatch(/^\{"log":"kept\\n"/)
    await run.delete()
  })
})
