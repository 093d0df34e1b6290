/** What somebody asks of a container at the very moment at which its shim is killed is done all the same. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesIn, processTitle } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineWorld } from './engine-world.ts'

let world: EngineWorld

const forever = 'trap "exit 5" TERM; echo up; while :; do usleep 10000; done'

/** What can be asked of a running container, and what is true afterwards. */
const verbs: Record<string, (id: string) => Promise<unknown>> = {
  'a pause': async (id) => {
    await world.engine.pause(id)
    expect(status(id)).toBe('paused')
  },
  'an end of the pause': async (id) => {
    await world.engine.unpause(id)
    expect(status(id)).toBe('running')
    expect((await world.exec(id, 'echo in')).output).toBe('in\n')
  },
  'a signal': async (id) => {
    await world.engine.kill(id, 'TERM')
    expect(await world.exit(id)).toBe(5)
  },
  'a stop': async (id) => {
    await world.engine.stop(id, { timeout: 30 })
    expect(world.engine.get(id).state).toMatchObject({ status: 'exited', exitCode: 5 })
  },
  'a restart': async (id) => {
    await world.engine.restart(id, { timeout: 30 })
    expect(status(id)).toBe('running')
  },
  'a forced removal': async (id) => {
    await world.engine.remove(id, { force: true, volumes: false })
    expect(world.engine.list().map((record) => record.id)).not.toContain(id)
  },
  'a look at its processes': async (id) => {
    expect((await world.engine.processes(id)).length).toBeGreaterThan(0)
  },
  'an exec': async (id) => {
    expect(await world.exec(id, 'echo in')).toEqual({ code: 0, output: 'in\n' })
  },
  'an exec that was made before': async (id) => {
    const session = await world.engine.execStart(execs.get(id)!, { detach: false, tty: false })
    let output = ''
    for await (const { data } of session!.output) output += String(data)
    expect(output).toBe('made before\n')
  },
  'a size for its terminal': (id) => world.engine.resize(id, { rows: 10, columns: 20 }),
  'an attachment': async (id) => {
    const streams = { stdin: false, stdout: true, stderr: true, logs: true, stream: true }
    const session = await world.engine.attach(id, streams)
    for await (const { data } of session.output) {
      expect(String(data)).toBe('up\n')
      break
    }
    session.close()
  },
  'a container that joins its namespaces': async (id) => {
    expect((await world.run('echo with', { NetworkMode: `container:${id}` })).output).toBe('with\n')
  },
}

/** Made before its shim was killed. */
const execs = new Map<string, string>()

function status(id: string): string {
  return world.engine.get(id).state.status
}

/** SIGKILL for the shims of the container, those that still make it too. Returns how many there were. */
function killShims(id: string): number {
  return shimsOf(id).filter(killed).length
}

function shimsOf(id: string): string[] {
  return processesIn(`${world.root}/run/c/${id}`).filter((pid) =>
    processTitle(pid).startsWith('holdfast: shim'),
  )
}

function killZygote(): number {
  const zygotes = readdirSync('/proc').filter(
    (pid) => processTitle(pid).includes('zygote') && parentOf(pid) === process.pid, // its program, before it has a title
  )
  return zygotes.filter(killed).length
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return 0 // it has ended
  }
}

function killed(pid: string): boolean {
  try {
    return process.kill(Number(pid), 'SIGKILL')
  } catch {
    return false // it ended by itself
  }
}

describe.skipIf(process.getuid?.() !== 0)('a shim that is killed', () => {
  beforeAll(async () => {
    world = await EngineWorld.open()
  })
  afterAll(() => world[Symbol.asyncDispose]())

  it.each(Object.keys(verbs))('does not keep its container from %s', async (name) => {
    const id = await world.start(forever, { NetworkMode: 'bridge' })
    execs.set(id, await world.execCreate(id, 'echo made before'))
    if (name === 'an end of the pause') await world.engine.pause(id)
    const { pid } = world.engine.get(id).state
    expect(killShims(id)).toBe(1)
    await verbs[name]!(id)
    const left = world.engine.list().find((record) => record.id === id)
    if (left?.state.status === 'running' && name !== 'a restart') expect(left.state.pid).toBe(pid)
    if (left) await world.engine.remove(id, { force: true, volumes: false })
  })

  it('does not keep a container from being started, at whatever moment of that it is killed', async () => {
    let kills = 0
    for (let afterMs = 0; afterMs < 60; afterMs += 3) {
      const id = await world.create('echo ran; exit 7', { NetworkMode: 'bridge' })
      const started = world.engine.start(id)
      started.catch(() => {}) // awaited below
      await sleep(afterMs) // the moment is what is tried, nothing is waited for
      kills += killShims(id)
      await started
      expect({ afterMs, code: await world.exit(id) }).toEqual({ afterMs, code: 7 })
      expect({ afterMs, output: await world.output(id) }).toEqual({ afterMs, output: 'ran\n' })
    }
    expect(kills).toBeGreaterThan(3)
  })

  it('is found again as often as the zygote that is to fork the next one is killed', async () => {
    const id = await world.start(forever)
    killShims(id)
    const found = world.exec(id, 'echo in')
    let zygotes = 0
    for (const afterMs of [0, 100, 200]) {
      await sleep(afterMs) // while it warms up, or forks
      zygotes += killZygote()
    }
    expect(await found).toEqual({ code: 0, output: 'in\n' })
    expect(zygotes).toBeGreaterThan(1)
  })

  it('is not missed by a forced removal where none can take its place', async () => {
    const id = await world.start(forever, { NetworkMode: 'bridge' })
    const { pid } = world.engine.get(id).state
    writeFileSync(`${world.root}/run/c/${id}/state.json`, 'damaged')
    killShims(id)
    await world.engine.remove(id, { force: true, volumes: false })
    expect(world.engine.list().map((record) => record.id)).not.toContain(id)
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    expect(existsSync(`${world.root}/run/c/${id}`)).toBe(false)
  })

  // Each takes the twenty seconds of patience.
  it('for answering nobody any more is replaced, and the next one does what was asked', async () => {
    const id = await world.start(forever)
    const [shim] = shimsOf(id)
    process.kill(Number(shim), 'SIGSTOP')
    expect(await world.exec(id, 'echo in')).toEqual({ code: 0, output: 'in\n' })
    expect(shimsOf(id)).not.toContain(shim)
  })

  it('for not answering the next engine is replaced', async () => {
    const id = await world.start(forever)
    const { pid } = world.engine.get(id).state
    const [shim] = shimsOf(id)
    process.kill(Number(shim), 'SIGSTOP')
    await world.engine.close()
    await world.reopen()
    expect(await world.exec(id, 'echo in')).toEqual({ code: 0, output: 'in\n' })
    expect(world.engine.get(id).state).toMatchObject({ status: 'running', pid })
    expect(shimsOf(id)).not.toContain(shim)
  })
})
