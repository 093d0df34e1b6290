import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually, processesIn, TestSupervisor } from '@holdfast/testkit'
import { busyboxTar, temporaryDirectory } from '@holdfast/testkit'
import { connectShim } from '../src/shims/shim-client.ts'
import { EngineWorld } from './engine-world.ts'

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('an engine that comes back', () => {
  let world: EngineWorld
  beforeEach(async () => {
    world = await EngineWorld.open()
  })
  afterEach(async () => {
    await world[Symbol.asyncDispose]()
  })

  /** What the next engine finds. */
  async function again(meanwhile: () => unknown = () => {}): Promise<void> {
    await world.engine.close()
    await meanwhile()
    await world.reopen()
  }

  it('finds its containers running, with their address, their ports and their log', async () => {
    const id = await world.start('echo before; httpd -f -h /www', {
      NetworkMode: 'bridge',
      PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
    })
    const before = world.engine.get(id)
    await again()
    expect(world.engine.get(id)).toEqual(before)
    const { HostPort } = before.networks['bridge']!.ports['80/tcp']![0]!
    expect(await (await fetch(`http://127.0.0.1:${HostPort}/`)).text()).toBe('it works\n')
    expect((await world.exec(id, 'echo in')).output).toBe('in\n')
    expect(await world.output(id)).toBe('before\n')
    await world.engine.remove(id, { force: true, volumes: false })
  })

  it('learns of exits in the meantime, with their codes and every line', async () => {
    const shared = { Binds: [`${world.root}/shared:/shared`] }
    const id = await world.start('while [ ! -e /shared/go ]; do sleep 0.01; done; seq 1000; exit 42', shared)
    const auto = await world.start('while [ ! -e /shared/go ]; do sleep 0.01; done', {
      ...shared,
      AutoRemove: true,
    })
    await again(async () => {
      writeFileSync(`${world.root}/shared/go`, '')
      await eventually(() => existsSync(`${world.root}/run/c/${id}/exit.json`))
    })
    expect(await world.exit(id)).toBe(42)
    expect(world.engine.get(id).state.status).toBe('exited')
    expect((await world.output(id)).trim().split('\n')).toHaveLength(1000)
    await eventually(() => !world.engine.list().some((record) => record.id === auto))
  })

  it('can be removed after another link has got the subnet of its bridge', async () => {
    const show = ['-j', '-4', 'addr', 'show', `hf-${world.instance}`]
    const [bridge] = JSON.parse(execFileSync('ip', show, { encoding: 'utf8' }))
    const { local, prefixlen } = bridge.addr_info[0]
    await world.engine.close()
    const other = `o-${world.instance}`
    execFileSync('ip', ['link', 'del', `hf-${world.instance}`])
    execFileSync('ip', ['link', 'add', other, 'type', 'bridge'])
    try {
      execFileSync('ip', ['addr', 'add', `${local}/${prefixlen}`, 'dev', other])
      await expect(world.reopen()).rejects.toThrow(`is in use by link ${other}`)
      await world.reopen({ purging: true })
      await world.engine.purge()
    } finally {
      execFileSync('ip', ['link', 'del', other])
    }
    await world.engine.close()
    await world.reopen() // for the end of the test, which removes it again
  })

  it('undoes a start that was cut short, and forgets what belongs to nobody', async () => {
    const id = await world.create('true')
    const stray = 'f'.repeat(64)
    await again(() => {
      mkdirSync(`${world.root}/run/c/${id}`)
      mkdirSync(`${world.root}/run/c/${stray}`)
      mkdirSync(`${world.root}/data/containers/${stray}`)
      mkdirSync(`${world.root}/data/images/snapshots/${stray}`, { recursive: true })
    })
    expect(readdirSync(`${world.root}/run/c`)).toEqual([])
    expect(readdirSync(`${world.root}/data/containers`)).toEqual([id])
    expect(readdirSync(`${world.root}/data/images/snapshots`)).toEqual([id])
    await world.engine.start(id)
    expect(await world.exit(id)).toBe(0)
  })

  it('goes on with a removal that was cut short after the shim had done its part', async () => {
    const id = await world.start('sleep 100')
    const dir = `${world.root}/run/c/${id}`
    await again(async () => {
      const { token } = JSON.parse(readFileSync(`${dir}/shim.json`, 'utf8')) as { token: string }
      const client = await connectShim({ dir, token, deadlineMs: 45_000 })
      renameSync(`${dir}/shim.json`, `${dir}/ending.json`)
      await client.request('delete', { force: true })
      client.close()
    })
    expect(readdirSync(`${world.root}/run/c`)).toEqual([])
    expect(world.engine.get(id).state).toMatchObject({ status: 'exited', exitCode: 255 })
  })

  it('ends what ran before the machine was restarted', async () => {
    const id = await world.start('sleep 100', { NetworkMode: 'bridge' })
    const { pid } = world.engine.get(id).state
    await world.engine.kill(id, 'SIGKILL')
    await world.exit(id)
    const { DatabaseSync } = await import('node:sqlite')
    await again(() => {
      const database = new DatabaseSync(`${world.root}/data/holdfast.db`)
      database.exec(`UPDATE facts SET value = 'another' WHERE name = 'boot-id'`)
      const row = database.prepare('SELECT state FROM states').get()!['state'] as string
      const state = JSON.parse(row) as { state: object }
      state.state = { ...state.state, status: 'running', pid }
      database.prepare('UPDATE states SET state = ?').run(JSON.stringify(state))
      database.close()
    })
    expect(world.engine.get(id).state).toMatchObject({
      status: 'exited',
      exitCode: 255,
      pid: 0,
      error: 'the machine was restarted',
    })
  })

  it('leaves no shim of a container whose record was lost with the database', async () => {
    await world.start('sleep 100')
    await again(() => {
      for (const suffix of ['', '-wal', '-shm'])
        rmSync(`${world.root}/data/holdfast.db${suffix}`, { force: true })
    })
    expect(world.engine.list().map(({ state }) => state)).toMatchObject([
      { status: 'dead', error: 'its record was lost' },
    ])
    await eventually(() => processesIn(`${world.root}/run/c`).length === 0)
  })

  it('gives a container whose shim was killed another one, and misses nothing', async () => {
    const id = await world.start('i=0; while [ ! -e /go ]; do sleep 0.01; done; seq 500; exit 9', {
      NetworkMode: 'bridge',
    })
    const shims = (): string[] =>
      execFileSync('pgrep', ['-f', `holdfast: shim ${world.engine.get(id).name}`], { encoding: 'utf8' })
        .trim()
        .split('\n')
    const [shim] = shims()
    process.kill(Number(shim), 'SIGKILL')
    await eventually(async () => (await world.exec(id, 'touch /go')).code === 0)
    expect(shims()[0]).not.toBe(shim)
    expect(await world.exit(id)).toBe(9)
    expect((await world.output(id)).trim().split('\n')).toHaveLength(500)
  })

  it('starts another zygote when one dies', async () => {
    const isOurs = (pid: string): boolean => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return title.startsWith('holdfast: zygote') && status.includes(`PPid:\t${process.pid}\n`)
      } catch {
        return false // it ended in the meantime
      }
    }
    expect((await world.run('echo off')).output).toBe('off\n')
    process.kill(Number(readdirSync('/proc').find(isOurs)), 'SIGKILL')
    expect((await world.run('echo on')).output).toBe('on\n')
  })
})

describe.skipIf(!isRoot)('a supervisor that is killed', () => {
  it('disturbs no container, and knows them all when it is back', async () => {
    await using supervisor = await TestSupervisor.start()
    using scratch = temporaryDirectory()
    await supervisor.request(
      'POST',
      '/images/create?fromSrc=-&repo=busybox&tag=latest',
      busyboxTar(scratch.path),
    )
    const create = async (name: string, command: string): Promise<void> => {
      const made = await supervisor.request('POST', `/containers/create?name=${name}`, {
        Image: 'busybox',
        Cmd: ['sh', '-c', command],
      })
      expect(made.status, made.text).toBe(201)
      const started = await supervisor.request('POST', `/containers/${name}/start`)
      expect(started.status, started.text).toBe(204)
    }
    await create('goes-on', 'httpd -f -h /www')
    await create('ends', 'sleep 0.3; echo last words; exit 43')
    await supervisor.stop('SIGKILL')
    await eventually(() =>
      readdirSync(`${supervisor.root}/run/c`).some((id) =>
        existsSync(`${supervisor.root}/run/c/${id}/exit.json`),
      ),
    )
    await supervisor.start()
    const state = async (name: string) =>
      (await supervisor.request('GET', `/containers/${name}/json`)).json.State
    expect(await state('goes-on')).toMatchObject({ Running: true })
    expect(await state('ends')).toMatchObject({ Running: false, ExitCode: 43 })
    expect((await supervisor.request('GET', '/containers/ends/logs?stdout=1')).text).toContain('last words')
  })

  it('refuses to run twice on one data root', async () => {
    await using supervisor = await TestSupervisor.start()
    const program = new URL('../src/main.ts', import.meta.url).pathname
    const second = (): string =>
      execFileSync(
        process.execPath,
        [
          '--conditions=@holdfast/source',
          program,
          '--instance',
          supervisor.instance,
          '--data-root',
          `${supervisor.root}/data`,
          '--exec-root',
          `${supervisor.root}/run`,
          '-H',
          `unix://${supervisor.root}/2.sock`,
        ],
        { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: '/bin' } },
      )
    expect(second).toThrow('another supervisor uses')
  })
})
