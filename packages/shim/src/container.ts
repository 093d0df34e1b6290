/** The container that this shim makes run: create, start, signals, pause, its end, and the undoing of it all. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { hasCode, HoldfastError, SyscallError } from '@holdfast/errors'
import { closeFd, fstat } from '@holdfast/core'
import type { ContainerPlan, NamespaceType } from '@holdfast/plan'
import { checkAllowed, nextStatus } from '@holdfast/protocol'
import type {
  ExitRecord,
  LifecycleEvent,
  Method,
  NamespaceHandle,
  ShimEvent,
  Status,
} from '@holdfast/protocol'
import { adoptContainer, adoptionRecord } from './adopt.ts'
import { hostOwner, ociState, planBundle, readBundle, type Bundle } from './bundle.ts'
import { cgroupProcesses, killCgroup, pauseCgroup, removeCgroups, resumeCgroup } from './cgroup.ts'
import { nowRfc3339 } from './clock.ts'
import { notRunning, type ContainedProcess } from './contained-process.ts'
import { createContainer } from './executor.ts'
import { runHooks, runPoststop } from './hooks.ts'
import type { AdoptionRecord, CgroupHandle, LaunchedContainer } from './launched.ts'
import { oomKills } from './oom.ts'
import { handOverListener } from './seccomp-listener.ts'
import { closeAll, keeperCopies, makeStdio } from './stdio.ts'
import type { ShimContext } from './shim-context.ts'

/** SIGKILL: the one signal that can't be caught, and that ends a frozen process only once it is thawed on v1. */
const SIGKILL = 9

export interface Held {
  namespaces: Partial<Record<NamespaceType, number>>
  root: number | undefined
  cgroups: CgroupHandle[]
}

export class Container {
  readonly #context: ShimContext
  readonly process: ContainedProcess
  status: Status = 'creating'
  startedAt: string | null = null
  exit: ExitRecord | undefined
  adoption: AdoptionRecord | undefined
  bundle: Bundle | undefined
  plan: ContainerPlan | undefined
  held: Held = { namespaces: {}, root: undefined, cgroups: [] }
  #launched: Pick<LaunchedContainer, 'start'> | undefined
  #starting: Promise<void> | undefined
  /** Settles when the container's process has ended, its log is complete and `exited` was sent. */
  ended: Promise<void> = Promise.resolve()

  constructor(context: ShimContext, process: ContainedProcess) {
    this.#context = context
    this.process = process
  }

  check(method: Method): void {
    checkAllowed(method, this.status)
  }

  async create(): Promise<void> {
    this.check('create')
    const { dir, spec } = this.#context
    const bundle = (this.bundle = readBundle(dir, spec))
    const plan = (this.plan = planBundle(bundle))
    for (const warning of plan.warnings ?? []) this.#context.log('warn', warning)
    const stdio = makeStdio({ terminal: plan.terminal, stdin: spec.stdin.open, owner: hostOwner(bundle) })
    let launched: LaunchedContainer
    let hooksBegan = false
    try {
      launched = await createContainer(plan, {
        name: spec.name,
        directory: dir,
        stdio: stdio.child,
        keep: keeperCopies(stdio),
        recordName: 'exit.json',
        onListener: (listener, pid) => handOverListener(bundle, listener, pid),
        onCreateRuntime: (pid) => {
          hooksBegan = true
          return runHooks('createRuntime', plan.hooks.createRuntime, ociState(bundle, 'creating', pid))
        },
      })
    } catch (error) {
      closeAll(stdio.keep)
      // runtime.md, lifecycle steps 4 to 6: after a hook that failed everything is undone, poststop hooks included.
      if (hooksBegan || isHookFailure(error)) await this.#poststop(plan, bundle)
      throw error
    } finally {
      closeAll(stdio.child)
    }
    this.adoption = adoptionRecord(launched)
    this.#hold(launched)
    this.#follow({ ...launched, fds: stdio.keep })
    try {
      this.#become('created', { event: 'created', pid: launched.init.pid })
      launched.entrust() // written down above: from here on the container outlives this shim
    } catch (error) {
      launched.entrust() // or its keeper waits for that
      await this.#abandonCreate()
      throw error
    }
  }

  /** Throws HF_COMMAND_NOT_FOUND or HF_COMMAND_NOT_EXECUTABLE: the container has then ended with 127 or 126. */
  async start(): Promise<string> {
    this.check('start')
    const launched = this.#launched
    if (!launched) throw notRunning()
    if (this.plan?.startable === false) throw nothingToStart()
    const started = this.#open(launched)
    this.#starting = started.catch(() => {})
    try {
      await started
    } catch (error) {
      // The init leaves when its program, or a startContainer hook, can't be executed or fails.
      if (error instanceof SyscallError || hasCode(error, ...commandErrors)) await this.ended
      throw error
    }
    const { plan, bundle } = this
    if (plan && bundle) await this.#poststart(plan, bundle)
    return this.startedAt ?? nowRfc3339()
  }

  async kill(signal: number, all: boolean): Promise<void> {
    this.check('kill')
    if (all && signal === SIGKILL) killCgroup(this.held.cgroups)
    else if (all) this.#signalAll(signal)
    else this.process.kill(signal)
    if (signal === SIGKILL && this.status === 'paused') resumeCgroup(this.held.cgroups)
  }

  async pause(): Promise<void> {
    this.check('pause')
    await pauseCgroup(this.held.cgroups)
    this.#become('paused', { event: 'paused' })
  }

  async resume(): Promise<void> {
    this.check('resume')
    resumeCgroup(this.held.cgroups)
    this.#become('resumed', { event: 'resumed' })
  }

  processes(): number[] {
    this.check('processes')
    return cgroupProcesses(this.held.cgroups)
  }

  namespaces(): Partial<Record<NamespaceType, NamespaceHandle>> {
    const entries = Object.entries(this.held.namespaces) as [NamespaceType, number][]
    return Object.fromEntries(
      entries.map(([type, fd]) => {
        const origin = this.plan?.namespaces[type] ?? 'new'
        return [type, { fd, ino: Number(fstat(fd).ino), origin }]
      }),
    )
  }

  /** Everything that `create` made goes; a failure of one part doesn't keep the others. */
  async delete(force: boolean): Promise<void> {
    const alive = this.status === 'created' || this.status === 'running' || this.status === 'paused'
    if (alive && !force) throw new HoldfastError('HF_CONTAINER_RUNNING', `the container is ${this.status}`)
    if (alive) await this.#forceEnd()
    const problems: unknown[] = []
    await removeCgroups(this.held.cgroups).catch((error: unknown) => problems.push(error))
    this.#release()
    const { plan, bundle } = this
    if (plan && bundle && this.status === 'stopped') await this.#poststop(plan, bundle)
    if (problems.length > 0) throw problems[0]
  }

  /** Goes on with a container that another shim made; `exit` is known where the keeper had ended already. */
  adopt(status: Status, startedAt: string | null, record: AdoptionRecord): void {
    const { dir, spec } = this.#context
    this.bundle = readBundle(dir, spec)
    this.plan = planBundle(this.bundle)
    this.adoption = record
    this.status = status
    this.startedAt = startedAt
    const found = adoptContainer(record, this.plan.steps)
    this.held = { namespaces: found.namespaces ?? {}, root: found.root, cgroups: found.cgroups }
    this.#launched = found
    this.#follow({
      init: found.init,
      keeper: found.keeper,
      fds: found.taken,
      console: found.taken['console'],
    })
  }

  async #open(launched: Pick<LaunchedContainer, 'start'>): Promise<void> {
    const now = nowRfc3339()
    await launched.start()
    this.startedAt = now
    this.#become('started', { event: 'started', startedAt: now })
  }

  /**
   * An earlier shim was killed within `create`, before it could write down what it had made: all of that lives in the
   * container's cgroup, or is held by what lives there.
   */
  async clearLeftovers(): Promise<void> {
    const { dir, spec } = this.#context
    const { preparations } = planBundle(readBundle(dir, spec))
    const directories = preparations.flatMap((each) => (each.do === 'make-cgroup' ? each.directories : []))
    const left = directories.filter(({ path }) => existsSync(path))
    // What we left there stands at the door. Anything else is somebody's whose cgroup we were given by mistake.
    if (cgroupProcesses(left).some((pid) => !isLaunching(pid))) return
    killCgroup(left)
    await removeCgroups(left)
    rmSync(`${dir}/exit.json`, { force: true })
  }

  /** A container that had ended before this shim began. */
  restoreEnded(startedAt: string | null, exit: ExitRecord, record?: AdoptionRecord): void {
    const { dir, spec } = this.#context
    this.bundle = readBundle(dir, spec)
    this.plan = planBundle(this.bundle)
    this.status = 'stopped'
    this.startedAt = startedAt
    this.exit = exit
    this.adoption = record
    if (record) this.held = { ...this.held, cgroups: adoptContainer(record).cgroups }
    this.process.abandon()
  }

  #hold(launched: LaunchedContainer): void {
    const { namespaces, root, cgroups, userns } = launched
    this.held = { namespaces, root, cgroups }
    if (userns !== undefined && userns !== namespaces.user) closeFd(userns)
    this.#launched = launched
  }

  #follow(
    live: Pick<Parameters<ContainedProcess['follow']>[0], 'init' | 'keeper' | 'fds'> & {
      console?: number | undefined
    },
  ): void {
    const { dir } = this.#context
    const recordPath = `${dir}/exit.json`
    const { init, keeper, fds, console } = live
    const end = this.process.follow({ init, keeper, fds, console, recordPath }, async () => {
      // Without a pid namespace of its own, the end of the first process leaves the others alive.
      if (this.plan?.namespaces.pid !== 'new') killCgroup(this.held.cgroups)
    })
    this.ended = end.then((record) => this.#onEnd(record))
    this.ended.catch((error: Error) => this.#context.fail(error))
  }

  async #onEnd(record: Omit<ExitRecord, 'oomKilled'>): Promise<void> {
    await this.#starting // `true` may have ended before `start` was answered: its events keep their order
    const oomKilled = oomKills(this.held.cgroups) > 0
    if (oomKilled) this.#context.emit({ event: 'oom' })
    this.exit = { ...record, oomKilled }
    this.#launched = undefined
    this.status = nextStatus(this.status, 'ended')
    try {
      this.#context.save()
    } catch (error) {
      // The keeper's record says the same to a later shim, and whoever waits for the end must hear of it.
      this.#context.fail(error as Error)
    }
    this.#context.emit({ event: 'exited', exit: this.exit })
    // Afterwards: closing the last descriptor of a mount namespace waits for the kernel's readers.
    this.#releaseNamespaces()
  }

  #become(event: LifecycleEvent, message: ShimEvent): void {
    this.status = nextStatus(this.status, event)
    this.#context.save()
    this.#context.emit(message)
  }

  /** runtime.md, lifecycle step 9: a failing poststart hook ends the container. */
  async #poststart(plan: ContainerPlan, bundle: Bundle): Promise<void> {
    try {
      await runHooks('poststart', plan.hooks.poststart, ociState(bundle, 'running', this.process.pid))
    } catch (error) {
      await this.#forceEnd()
      throw error
    }
  }

  #poststop(plan: ContainerPlan, bundle: Bundle): Promise<void> {
    const { poststop } = plan.hooks
    return runPoststop(poststop, ociState(bundle, 'stopped', 0), (text) => this.#context.log('warn', text))
  }

  #signalAll(signal: number): void {
    for (const pid of cgroupProcesses(this.held.cgroups)) {
      try {
        process.kill(pid, signal)
      } catch (error) {
        if (!hasCode(error, 'ESRCH')) throw error
      }
    }
  }

  async #forceEnd(): Promise<void> {
    killCgroup(this.held.cgroups)
    try {
      this.process.kill(SIGKILL)
    } catch (error) {
      if (!hasCode(error, 'HF_CONTAINER_NOT_RUNNING')) throw error
    }
    if (this.status === 'paused') resumeCgroup(this.held.cgroups)
    await this.ended
  }

  async #abandonCreate(): Promise<void> {
    this.status = 'created'
    await this.#forceEnd()
    await removeCgroups(this.held.cgroups)
    this.#release()
    const { plan, bundle } = this
    if (plan && bundle) await this.#poststop(plan, bundle)
  }

  /** A network namespace lives, with its end of the veth pair, as long as anybody holds a descriptor of it. */
  #releaseNamespaces(): void {
    for (const fd of new Set(Object.values(this.held.namespaces))) closeFd(fd)
    if (this.held.root !== undefined) closeFd(this.held.root)
    this.held = { namespaces: {}, root: undefined, cgroups: this.held.cgroups }
  }

  #release(): void {
    this.#releaseNamespaces()
    for (const { dirFd } of this.held.cgroups) closeFd(dirFd)
    this.held.cgroups = []
  }
}

const commandErrors = ['HF_COMMAND_NOT_FOUND', 'HF_COMMAND_NOT_EXECUTABLE'] as const

function isHookFailure(error: unknown): boolean {
  return error instanceof SyscallError && error.step?.startsWith('hook(') === true
}

function nothingToStart(): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', 'process is missing: there is nothing to start', {
    details: { path: 'process' },
  })
}

function isLaunching(pid: number): boolean {
  try {
    return /^(holdfast|hf-)/.test(readFileSync(`/proc/${pid}/comm`, 'latin1'))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return true // it has just ended
    throw error
  }
}
