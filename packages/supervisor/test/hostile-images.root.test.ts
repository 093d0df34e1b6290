/** Images and volumes made to lead the engine astray: links out of the root at every place where it makes or reads something. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeBusyboxRootfs } from '@holdfast/testkit'
import { processTable } from '../src/api/process-table.ts'
import type { HostConfig } from '../src/engine/container-config.ts'
import { EngineWorld } from './engine-world.ts'

/** No request may take longer, whatever an image holds, on a busy machine. */
const patienceMs = 20_000

let world: EngineWorld
let canary: string
let base: string

/** Names, kinds, modes, owners, sizes, times and content of the host's directory that the images point at. */
function look(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).map((entry) => {
    const path = join(entry.parentPath, entry.name)
    const { mode, uid, gid, size, mtimeMs, ctimeMs } = lstatSync(path)
    const content = entry.isFile() ? readFileSync(path, 'latin1') : ''
    return [path, mode, uid, gid, size, mtimeMs, ctimeMs, content].join(' ')
  })
}

/** An image of busybox that `spoil` has worked on. */
async function hostileImage(name: string, spoil: (root: string) => void): Promise<void> {
  const root = join(world.root, `image-${name}`)
  cpSync(base, root, { recursive: true, verbatimSymlinks: true })
  spoil(root)
  const tar = execFileSync(
    'tar',
    ['--numeric-owner', '--owner=0', '--group=0', '-S', '-C', root, '-c', '.'],
    {
      maxBuffer: 64 << 20,
    },
  )
  rmSync(root, { recursive: true })
  await world.engine.images.import(Readable.from([tar]), { reference: `${name}:latest` })
}

function link(root: string, at: string, target: string): void {
  rmSync(join(root, at), { recursive: true, force: true })
  mkdirSync(dirname(join(root, at)), { recursive: true })
  symlinkSync(target, join(root, at))
}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${what} did not come to an end`)), patienceMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** What people do with a container; an error is an answer. */
async function useIt(image: string, host: Partial<HostConfig>): Promise<string[]> {
  const said: string[] = []
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<boolean> => {
    try {
      said.push(`${what}: ${String(await within(`${what} of ${image}`, work()))}`)
      return true
    } catch (error) {
      if (error instanceof Error && error.message.includes('did not come to an end')) throw error
      said.push(`${what}: ${String(error)}`)
      return false
    }
  }
  const id = await within(
    'create',
    world.create('cat >/dev/null; sleep 1000', host, { Image: image, OpenStdin: true }),
  )
  if (await attempt('start', () => world.engine.start(id))) {
    await attempt('exec', async () => (await world.exec(id, 'pwd; ls / >/dev/null')).output)
    await attempt('exec -u', async () => (await world.exec(id, 'echo $HOME', { user: 'user' })).output)
    await attempt('exec -t', async () => (await world.exec(id, 'tty', { tty: true })).output)
    await attempt(
      'top',
      async () => (await processTable(await world.engine.processes(id), '-ef')).processes.length,
    )
    await attempt('attach', async () => {
      const session = await world.engine.attach(id, {
        stdin: true,
        stdout: true,
        stderr: true,
        logs: false,
        stream: true,
      })
      await session.write(Buffer.from('hello\n'))
      session.close()
      return 'done'
    })
  }
  await within('remove', world.engine.remove(id, { force: true, volumes: true }))
  return said
}

const modes: Record<string, (other: string) => Partial<HostConfig>> = {
  'ids of its own': () => ({}),
  'userns=host': () => ({ UsernsMode: 'host' }),
  'pid=host': () => ({ PidMode: 'host' }),
  'ipc of another': (other) => ({ IpcMode: `container:${other}` }),
  'net of another': (other) => ({ NetworkMode: `container:${other}` }),
  'pid of another': (other) => ({ PidMode: `container:${other}` }),
  privileged: () => ({ Privileged: true }),
}

/** Where the engine makes, mounts or reads something: what lies beneath a link of the first list is in the second. */
const places = [
  'proc sys dev etc',
  'dev/pts dev/shm dev/mqueue dev/console dev/null dev/ptmx dev/fd proc/self sys/fs ' +
    'etc/resolv.conf etc/hosts etc/hostname etc/passwd etc/group etc/mtab .dockerenv',
].map((list) => list.split(' '))

describe.skipIf(process.getuid?.() !== 0)('an image', { timeout: 120_000 }, () => {
  let other: string
  beforeAll(async () => {
    world = await EngineWorld.open()
    base = join(world.root, 'base')
    const umask = process.umask(0o022)
    mkdirSync(base)
    makeBusyboxRootfs(base)
    canary = join(world.root, 'canary')
    mkdirSync(join(canary, 'inner'), { recursive: true })
    for (const name of ['passwd', 'group', 'null', 'console', 'inner/secret'])
      writeFileSync(join(canary, name), `canary ${name}\n`)
    process.umask(umask)
    other = await world.start('sleep 1000', { IpcMode: 'shareable' })
    const up = '../'.repeat(12)
    const targets = [canary, `${up}${canary.slice(1)}`, `${canary}/inner/new`, `/proc/1/root${canary}`]
    for (const [index, list] of places.entries())
      await hostileImage(`links-${index}`, (root) => {
        for (const [nth, at] of list.entries()) link(root, at, targets[(nth + index) % targets.length]!)
      })
  })
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  })

  it.each(Object.keys(modes))('of links to the host changes nothing there, with %s', async (mode) => {
    const before = look(canary)
    const said = await Promise.all(places.map((_, index) => useIt(`links-${index}`, modes[mode]!(other))))
    expect(said.map(([start, exec]) => [start, exec])).toEqual(places.map(() => ['start: true', 'exec: /\n']))
    expect(look(canary)).toEqual(before)
  })

  it.each(['fifo', 'directory', 'zero device', '100 MiB', '/proc/kmsg', '/dev/zero', '/dev/tty', 'passwd'])(
    'whose /etc/passwd is %s holds nobody up',
    async (kind) => {
      const name = `passwd-${kind.replaceAll(/\W/g, '')}`.toLowerCase()
      await hostileImage(name, (root) => {
        for (const file of ['etc/passwd', 'etc/group']) spoilFile(join(root, file), kind)
      })
      for (const mode of ['ids of its own', 'userns=host']) {
        const said = await useIt(name, modes[mode]!(other))
        expect(said.slice(0, 2)).toEqual(['start: true', 'exec: /\n'])
        expect(said[2]).toMatch(/unable to find user|is not a regular file|more than 1048576/)
        const id = await world.create(['true'], modes[mode]!(other), { Image: name, User: 'user' })
        await expect(within('start', world.engine.start(id))).rejects.toThrow('unable to find user user')
        await world.engine.remove(id, { force: true, volumes: true })
      }
    },
  )

  it('whose working directory is a descriptor of the launcher does not get out by it', async () => {
    await hostileImage('cwd', (root) => {
      for (let fd = 0; fd < 24; fd++) symlinkSync(`/proc/self/fd/${fd}`, join(root, `w${fd}`))
    })
    const running = await world.start('sleep 1000', {}, { Image: 'cwd' })
    const ways = ['/proc/self/root', '/proc/self/cwd/../../..', '/proc/thread-self/cwd']
    for (let fd = 3; fd < 24; fd++) ways.push(fd % 2 === 0 ? `/w${fd}` : `/proc/self/fd/${fd}`)
    await Promise.all(
      ways.map(async (WorkingDir) => {
        const id = await world.create(['pwd'], {}, { Image: 'cwd', WorkingDir })
        await expect(world.engine.start(id)).rejects.toMatchObject({
          message: expect.stringContaining('ELOOP'),
        })
        await world.engine.remove(id, { force: true, volumes: true })
      }),
    )
    for (const workingDir of ways) {
      const exec = await world.execCreate(running, 'pwd', { workingDir })
      const started = world.engine.execStart(exec, { detach: false, tty: false })
      await expect(started).rejects.toThrow(
        /chdir to cwd .* (too many levels of symbolic links|no such file)/,
      )
    }
  })

  it.each(['/', '/proc', '/sys', '/dev', '/proc/1/root', '/etc'])(
    'with a link to %s where a volume goes puts nothing into it, nor gets to the host',
    async (target) => {
      const name = `volume-${target.replaceAll('/', '') || 'root'}`
      await hostileImage(name, (root) => {
        symlinkSync(target, join(root, 'data'))
        symlinkSync(canary, join(root, 'more'))
      })
      const before = look(canary)
      for (const mode of ['ids of its own', 'userns=host', 'pid=host']) {
        const directory = mkdtempSync(join(world.root, 'volume-'))
        const Binds = [`${directory}:/data`, `${directory}:/more`]
        const [start] = await useIt(name, { ...modes[mode]!(other), Binds })
        if (target === '/etc') expect(start).toBe('start: true') // the engine's own files lie on top
        else expect(start).toMatch(/openat2 '\/data'|move_mount '\/data': ELOOP/)
        expect(readdirSync(directory)).toEqual(target === '/etc' ? ['hostname', 'hosts', 'resolv.conf'] : [])
      }
      expect(look(canary)).toEqual(before)
    },
  )
})

function spoilFile(path: string, kind: string): void {
  rmSync(path)
  if (kind === 'fifo') execFileSync('mkfifo', [path])
  else if (kind === 'directory') mkdirSync(path)
  else if (kind === 'zero device') execFileSync('mknod', [path, 'c', '1', '5'])
  else if (kind === '100 MiB') {
    writeFileSync(path, '')
    truncateSync(path, 100 << 20)
  } else symlinkSync(kind, path)
}
