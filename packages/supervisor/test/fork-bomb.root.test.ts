/** Containers that do nothing but fork: they end when they are told to, and nobody else notices. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeHost } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { EngineWorld } from './engine-world.ts'

/** awk goes on where it can't fork, as a shell doesn't. A part of a processor is enough: the machine is others' too. */
const line = 'BEGIN { while (1) system("awk -f /bomb &") }'
const bomb = `echo '${line}' > /bomb; exec awk -f /bomb 2>/dev/null`
const little = { NanoCpus: 300_000_000 }

describe.skipIf(process.getuid?.() !== 0)('a container that forks without end', { timeout: 120_000 }, () => {
  let world: EngineWorld
  beforeAll(async () => {
    world = await EngineWorld.open()
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  /** Its number of processes has reached the limit, which lies at `most`. */
  const exploded = (id: string, most: number): Promise<true> =>
    eventually(async () => (await world.engine.processes(id)).length > most * 0.8)

  it('within its own limit disturbs no other, and can be looked at, stopped, killed and removed', async () => {
    const other = await world.start('while sleep 0.1; do echo alive; done')
    const stopped = await world.start(bomb, { PidsLimit: 64, ...little })
    const killed = await world.start(bomb, { PidsLimit: 64, ...little })
    for (const id of [stopped, killed]) await exploded(id, 64)
    expect(await world.exec(other, 'echo there')).toEqual({ code: 0, output: 'there\n' })
    expect((await world.run('echo new')).output).toBe('new\n')
    await world.engine.stop(stopped, { timeout: 0 })
    expect(await world.exit(stopped)).toBe(137)
    await world.engine.kill(killed, 'SIGKILL')
    expect(await world.exit(killed)).toBe(137)
    const removed = await world.start(bomb, { PidsLimit: 64, ...little })
    await exploded(removed, 64)
    await world.engine.remove(removed, { force: true, volumes: false })
    expect(world.engine.get(other).state.status).toBe('running')
  })

  it('with no limit but that of all containers lets them be stopped and removed, and start again afterwards', async () => {
    const other = await world.start('sleep 1000')
    const { cgroup } = probeHost()
    const tree =
      cgroup.version === 2
        ? cgroup.mount
        : cgroup.hierarchies.find(({ controllers }) => controllers.includes('pids'))!.mount
    const parent = join(tree, world.instance)
    expect(existsSync(parent), readdirSync(tree).join()).toBe(true)
    writeFileSync(join(parent, 'pids.max'), '100')
    const id = await world.start(bomb, little)
    await exploded(id, 100)
    // Who needs another process now is told so, and at once.
    const refused = await world.exec(other, 'echo there').catch(String)
    if (typeof refused === 'string') expect(refused).toMatch(/EAGAIN|limit of processes/)
    await world.engine.stop(other, { timeout: 0 })
    await world.engine.remove(id, { force: true, volumes: false })
    await world.engine.start(other)
    expect(await world.exec(other, 'echo there')).toEqual({ code: 0, output: 'there\n' })
  })
})
