import { existsSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hasCode } from '@holdfast/errors'
import { EngineWorld } from './engine-world.ts'

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('an engine whose disk is full', () => {
  let world: EngineWorld
  let filler: string
  beforeEach(async () => {
    world = await EngineWorld.open({ diskMiB: 32 })
    filler = `${world.root}/data/filler`
  })
  afterEach(async () => {
    rmSync(filler, { force: true })
    await world[Symbol.asyncDispose]()
  })

  /** Until not one page more can be written. */
  function fillDisk(): void {
    for (const size of [1 << 20, 1 << 12]) {
      try {
        for (;;) writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
      } catch (error) {
        if (!hasCode(error, 'ENOSPC')) throw error
      }
    }
    expect(statfsSync(`${world.root}/data`).bavail).toBe(0)
  }

  it('still hears of exits and removes containers, with their networks and addresses', async () => {
    const ids = []
    for (let count = 0; count < 4; count++)
      ids.push(await world.start('read line; exit 7', { NetworkMode: 'bridge' }, { OpenStdin: true }))
    fillDisk()
    for (const id of ids) await world.engine.kill(id, 'KILL')
    for (const id of ids) expect(await world.exit(id)).toBe(137)
    for (const id of ids) await world.engine.remove(id, { force: false, volumes: true })
    expect(world.engine.list()).toEqual([])
    await world.engine.close()
    await world.reopen()
    expect(world.engine.list()).toEqual([])
  })

  it('refuses a create by name, and leaves nothing of it', async () => {
    fillDisk()
    await expect(world.create('true')).rejects.toMatchObject({ code: 'HF_DISK_FULL' })
    expect(world.engine.list()).toEqual([])
  })

  it('lives on with its reserve used up, refuses by name, and writes down what happened once there is room', async () => {
    const ends = await world.start('read line; exit 7', {}, { OpenStdin: true })
    const waits = await world.create('exit 5')
    fillDisk()
    rmSync(`${world.root}/data/reserve`)
    fillDisk()
    await world.engine.kill(ends, 'KILL')
    expect(await world.exit(ends)).toBe(137)
    for (const attempt of [
      () => world.engine.start(waits),
      () => world.create('true'),
      async () => world.engine.createVolume('data', {}),
      async () => world.engine.rename(waits, 'another'),
    ])
      await expect(attempt()).rejects.toMatchObject({ code: 'HF_DISK_FULL' })
    expect(world.engine.volumes()).toEqual([])
    await world.engine.close()
    await world.reopen() // it starts on a full disk, too
    expect(world.engine.list()).toHaveLength(2)
    rmSync(filler)
    await world.engine.start(waits)
    expect(await world.exit(waits)).toBe(5)
    await world.engine.close()
    await world.reopen()
    expect(world.engine.get(waits).state.exitCode).toBe(5)
  })

  it('takes its reserve again at the next create, once there is room', async () => {
    const reserve = `${world.root}/data/reserve`
    fillDisk()
    rmSync(reserve)
    writeFileSync(filler, Buffer.alloc(4 << 20), { flag: 'a' })
    await expect(world.create('true')).rejects.toMatchObject({ code: 'HF_DISK_FULL' })
    expect(existsSync(reserve)).toBe(false)
    rmSync(filler)
    await world.create('true')
    expect(statSync(reserve).size).toBe(4 << 20)
  })
})
