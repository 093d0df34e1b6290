/** Literal plans around a busybox root, and what carries them out, for the executor's root tests. */
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeFd, pidfdSendSignal, pidfdWait, pipe2, readFdInto, watchFd } from '@holdfast/core'
import type { ContainerPlan, ExecPlan, NamespaceType, Step } from '@holdfast/plan'
import { makeBusyboxRootfs } from '@holdfast/testkit'
import { createContainer, launchExec } from '../src/launch/executor.ts'
import type { LaunchedContainer, LaunchedProcess } from '../src/launch/launched.ts'

/** The first host id of the containers' users. */
export const hostRoot = 0x7123_0000

const allTypes: NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

export interface PlanParts {
  args?: string[]
  env?: string[]
  init?: boolean
  /** New ones; all eight unless given. */
  namespaces?: NamespaceType[]
  preparations?: ContainerPlan['preparations']
  /** Stage one, before the user namespace is entered. */
  staged?: Step[]
  /** Stage one, just before `clone`. */
  beforeClone?: Step[]
  /** In the init, before pivot. */
  mounts?: Step[]
  /** In the init, after pivot. */
  after?: Step[]
  /** Just before the door. */
  last?: Step[]
  terminal?: boolean
  /** Host id; the container's root, or the host's without a user namespace of its own, unless given. */
  upperOwner?: number
}

export interface Finished {
  exitCode: number
  signal: number | null
  finishedAt: string
  output: string
}

export class ExecutorWorld {
  readonly base = mkdtempSync(join(tmpdir(), 'hfx-'))
  readonly rootfs = join(this.base, 'rootfs')
  readonly directory = join(this.base, 'run')
  #count = 0
  readonly #live: Live[] = []

  constructor() {
    for (const name of ['rootfs', 'run', 'stage']) mkdirSync(join(this.base, name))
    makeBusyboxRootfs(this.rootfs)
  }

  /** Ends what a failed test left running. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const live of this.#live) {
      if (live.over) continue
      live.kill(9)
      await live.finish()
    }
    rmSync(this.base, { recursive: true, force: true })
  }

  /** A directory beside the root. */
  path(name: string): string {
    return join(this.base, name)
  }

  plan(parts: PlanParts = {}): ContainerPlan {
    const fresh = parts.namespaces ?? allTypes
    const isNew = (type: NamespaceType): boolean => fresh.includes(type)
    const userns = isNew('user')
    const maps = [{ containerID: 0, hostID: hostRoot, size: 65_536 }]
    const cloned = (['mnt', 'pid', 'net', 'ipc', 'uts'] as const).filter(isNew)
    const unshared = (['cgroup', 'time'] as const).filter(isNew)
    const steps: Step[] = [
      ...(isNew('mnt') ? this.#stage(userns, parts.upperOwner ?? (userns ? hostRoot : 0)) : []),
      ...(parts.staged ?? []),
      ...(userns
        ? [{ do: 'join', namespace: 'user', fd: 'userns' } as const, { do: 'become-root' } as const]
        : []),
      ...(unshared.length > 0 ? [{ do: 'unshare' as const, namespaces: [...unshared] }] : []),
      ...(parts.beforeClone ?? []),
      { do: 'clone', namespaces: [...cloned], keep: [] },
      { do: 'new-session' },
      ...(isNew('mnt') ? this.#tree(parts.mounts ?? []) : []),
      ...(parts.after ?? []),
      ...(parts.terminal
        ? []
        : [{ do: 'stdio' as const, stdin: 'stdin', stdout: 'stdout', stderr: 'stderr' }]),
      ...(parts.last ?? []),
      { do: 'door' },
      {
        do: 'exec',
        args: parts.args ?? ['true'],
        env: parts.env ?? ['PATH=/bin'],
        init: parts.init === true,
      },
    ]
    return {
      preparations: [
        ...(userns ? [{ do: 'make-userns' as const, as: 'userns', uid: maps, gid: maps }] : []),
        ...(parts.preparations ?? []),
      ],
      steps,
      namespaces: Object.fromEntries(
        allTypes.map((type) => [type, isNew(type) ? 'new' : 'host']),
      ) as ContainerPlan['namespaces'],
      terminal: parts.terminal === true,
      netDevices: [],
      hooks: { createRuntime: [], poststart: [], poststop: [] },
      startable: true,
    }
  }

  #stage(userns: boolean, owner: number): Step[] {
    const id = this.#count++
    const [upper, work] = [this.path(`upper${id}`), this.path(`work${id}`)]
    mkdirSync(upper)
    mkdirSync(work)
    chownSync(upper, owner, owner)
    const device = (name: string, minor: number): Step => ({
      do: 'stage-bind',
      as: `dev-${name}`,
      source: `/dev/${name}`,
      recursive: false,
      attributes: { set: {}, clear: [] },
      expect: { type: 'c', major: 1, minor },
    })
    return [
      { do: 'unshare', namespaces: ['mnt'] },
      { do: 'set-propagation', path: '/', propagation: 'private', recursive: true },
      { do: 'stage-area', path: this.path('stage') },
      {
        do: 'stage-overlay',
        as: 'root',
        lower: [this.rootfs],
        upper,
        work,
        method: 'fd',
        attributes: {},
        options: [],
        ...(userns && { idmap: 'userns' }),
      },
      device('null', 3),
      device('zero', 5),
    ]
  }

  #tree(mounts: Step[]): Step[] {
    const secure = { nosuid: true, nodev: true, noexec: true }
    return [
      { do: 'enter-root', staged: 'root' },
      { do: 'mount', type: 'proc', source: 'proc', target: '/proc', attributes: secure, options: [] },
      {
        do: 'mount',
        type: 'tmpfs',
        source: 'tmpfs',
        target: '/dev',
        attributes: { nosuid: true },
        options: [['mode', '755']],
      },
      {
        do: 'mount',
        type: 'devpts',
        source: 'devpts',
        target: '/dev/pts',
        attributes: { nosuid: true, noexec: true },
        options: [['newinstance'], ['ptmxmode', '0666'], ['mode', '0620']],
      },
      { do: 'attach', staged: 'dev-null', target: '/dev/null', kind: 'file' },
      { do: 'attach', staged: 'dev-zero', target: '/dev/zero', kind: 'file' },
      ...mounts,
      { do: 'pivot', method: 'pivot' },
    ]
  }

  /** Creates it with a pipe for stdout and stderr, which `finish` reads. */
  async create(
    plan: ContainerPlan,
    onCreateRuntime = async (_pid: number): Promise<void> => {},
  ): Promise<Live> {
    const out = pipe2()
    const recordName = `exit-${this.#count++}.json`
    try {
      const container = await createContainer(plan, {
        name: 'test',
        directory: this.directory,
        stdio: { stdout: out.write, stderr: out.write },
        keep: { stdout: out.read },
        recordName,
        onCreateRuntime,
      })
      return this.#track(new Live(container, out.read, join(this.directory, recordName)))
    } catch (error) {
      closeFd(out.read)
      throw error
    } finally {
      closeFd(out.write)
    }
  }

  #track(live: Live): Live {
    this.#live.push(live)
    return live
  }

  async run(parts: PlanParts): Promise<Finished> {
    const live = await this.create(this.plan(parts))
    await live.process.door.open()
    return live.finish()
  }

  async exec(container: LaunchedContainer, steps: Step[], terminal = false): Promise<Live> {
    const plan: ExecPlan = { steps, terminal }
    const out = pipe2()
    const record = `exec-${this.#count++}.exit.json`
    try {
      const process = await launchExec(plan, {
        name: 'test',
        directory: this.directory,
        stdio: { stdout: out.write, stderr: out.write },
        keep: {},
        recordName: record,
        container,
      })
      return this.#track(new Live(process, out.read, join(this.directory, record)))
    } finally {
      closeFd(out.write)
    }
  }
}

export class Live {
  over = false
  readonly process: LaunchedProcess
  readonly #out: number
  readonly #record: string

  constructor(process: LaunchedProcess, out: number, record: string) {
    this.process = process
    this.#out = out
    this.#record = record
  }

  get container(): LaunchedContainer {
    return this.process as LaunchedContainer
  }

  kill(signal: number): void {
    pidfdSendSignal(this.process.init.pidfd, signal)
  }

  /** The output so far until `pattern` is in it. */
  async until(pattern: RegExp): Promise<string> {
    return readUntil(this.#out, pattern)
  }

  /** Waits for its end, and lets go of everything. */
  async finish(): Promise<Finished> {
    const output = await readUntil(this.#out, undefined)
    const { keeper } = this.process
    await readable(keeper.pidfd)
    pidfdWait(keeper.pidfd)
    const record = JSON.parse(readFileSync(this.#record, 'utf8')) as Finished
    this.release()
    return { ...record, output }
  }

  release(): void {
    this.over = true
    const { init, keeper, console } = this.process
    const { namespaces, root, userns, cgroups } = this.container
    const inside = [
      ...Object.values(namespaces ?? {}),
      ...(cgroups ?? []).map(({ dirFd }) => dirFd),
      root,
      userns,
    ]
    for (const fd of [init.pidfd, keeper.pidfd, console, this.#out, ...inside])
      if (fd !== undefined) closeFd(fd)
  }
}

export function readable(fd: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchFd(fd, { readable: true, hangup: true }, () => {
      watch.close()
      resolve()
    })
  })
}

/** Everything up to the end, or until the pattern matches what was read. */
export async function readUntil(fd: number, pattern: RegExp | undefined): Promise<string> {
  const buffer = Buffer.alloc(65_536)
  let text = ''
  while (pattern === undefined || !pattern.test(text)) {
    await readable(fd)
    let size: number | undefined
    try {
      size = readFdInto(fd, buffer)
    } catch (error) {
      // A terminal whose last process is gone.
      if ((error as NodeJS.ErrnoException).code === 'EIO') return text
      throw error
    }
    if (size === 0) return text
    if (size !== undefined) text += buffer.toString('latin1', 0, size)
  }
  return text
}
