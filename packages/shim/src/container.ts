/** The container that this shim makes run: create, start, signals, pause, its end, and the undoing of it all. */
import { hasCode, HoldfastError, SyscallError } from '@holdfast/errors'
import { closeAside, closeFd, fstat, SIGKILL } from '@holdfast/core'
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
import { adoptContainer } from './launch/adopt.ts'
import { ociState, planBundle, readBundle, type Bundle } from './bundle.ts'
import { cgroupProcesses, killCgroup, pauseCgroup, removeCgroups, resumeCgroup } from './cgroup/cgroup.ts'
import { hasFreezer, isPaused } from './cgroup/cgroup-freezer.ts'
import { nowRfc3339 } from './clock.ts'
import { notRunning, type ContainedProcess } from './contained-process.ts'
import type { Door } from './launch/door.ts'
import { runHooks } from './launch/hooks.ts'
import type { CgroupHandle, ContainerRecord } from './launch/launched.ts'
import { launchedInside, launchedProcess } from './launch/launch-result.ts'
import { poststop } from './worker/launches.ts'
import { oomKills } from './cgroup/oom.ts'
import type { ShimContext } from './shim-context.ts'
import { SocketVault } from './network/socket-vault.ts'

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
  adoption: ContainerRecord | undefined
  held: Held = { namespaces: {}, root: undefined, cgroups: [] }
  /** Its network namespace, as it was told of while the rest was being made. */
  #born: number | undefined
  #door: Door | undefined
  #starting: Promise<void> | undefined
  /** Settles when the container's process has ended, its log is complete and `exited` was sent. */
  ended: Promise<void> = Promise.resolve()
  /** Settles when the kernel has taken down what the namespaces held: mounts of the host's are free again. */
  #left: Promise<void> = Promise.resolve()
  /** Settles when the root is unmounted, which writes its file system to the disk first: it may take its time. */
  unmounted: Promise<void> = Promise.resolve()

  constructor(context: ShimContext, process: ContainedProcess) {
    this.#context = context
    this.process = process
  }

  check(method: Method): void {
    checkAllowed(method, this.status)
  }

  async create(): Promise<void> {
    this.check('create')
    const { dir, spec, lock, launcher } = this.#context
    const result = await launcher
      .create({ dir, spec }, lock, (net) => this.#onBorn(net))
      .catch((error: unknown) => {
        this.#releaseNamespaces()
        throw error
      })
    const { record, warnings } = result.facts
    for (const warning of warnings) this.#context.log('warn', warning)
    this.adoption = record
    this.held = launchedInside(result)
    const { door, ...live } = launchedProcess(result)
    this.#door = door
    this.#follow(live)
    try {
      this.#become('created', { event: 'created', pid: record.initPid })
      door.entrust() // written down above: from here on the container outlives this shim
    } catch (error) {
      door.entrust() // or its keeper waits for that
      await this.#abandonCreate()
      throw error
    }
  }

  /** Throws HF_COMMAND_NOT_FOUND or HF_COMMAND_NOT_EXECUTABLE: the container has then ended with 127 or 126. */
  async start(): Promise<string> {
    this.check('start')
    const door = this.#door
    if (!door) throw notRunning()
    if (this.adoption?.startable === false) throw nothingToStart()
    const started = this.#open(door)
    this.#starting = started.catch(() => {})
    try {
      await started
    } catch (error) {
      // The init leaves when its program, or a startContainer hook, can't be executed or fails.
      if (error instanceof SyscallError || hasCode(error, ...commandErrors)) await this.ended
      throw error
    }
    await this.#poststart()
    return this.startedAt ?? nowRfc3339()
  }

  async kill(signal: number, all: boolean): Promise<void> {
    this.check('kill')
    if (all && signal === SIGKILL) killCgroup(this.held.cgroups)
    else if (all) this.#signalAll(signal)
    else this.process.kill(signal)
    if (signal === SIGKILL) this.#thaw()
  }

  async pause(): Promise<void> {
    this.check('pause')
    await pauseCgroup(this.held.cgroups)
    this.check('pause') // it may have ended meanwhile
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
    const known =
      this.status === 'creating' && this.#born !== undefined ? { net: this.#born } : this.held.namespaces
    const entries = Object.entries(known) as [NamespaceType, number][]
    return Object.fromEntries(
      entries.map(([type, fd]) => {
        const origin = this.adoption?.namespaces[type] ?? 'new'
        return [type, { fd, ino: Number(fstat(fd).ino), origin }]
      }),
    )
  }

  /** For sockets in its network. Undefined where it has ended, or its keeper was killed. */
  vault(): SocketVault | undefined {
    const { keeper } = this.process
    const record = this.adoption?.vault
    return keeper && record ? SocketVault.open(keeper.pidfd, record) : undefined
  }

  /** Everything that `create` made goes; a failure of one part doesn't keep the others. */
  async delete(force: boolean): Promise<void> {
    const alive = this.status === 'created' || this.status === 'running' || this.status === 'paused'
    if (alive && !force) throw new HoldfastError('HF_CONTAINER_RUNNING', `the container is ${this.status}`)
    if (alive) await this.#forceEnd()
    const problems: unknown[] = []
    await removeCgroups(this.held.cgroups).catch((error: unknown) => problems.push(error))
    this.#release()
    await this.#left
    if (this.status === 'stopped') await this.#poststop()
    if (problems.length > 0) throw problems[0]
  }

  /** Goes on with a container that another shim made; `exit` is known where the keeper had ended already. */
  adopt(status: Status, startedAt: string | null, record: ContainerRecord): void {
    this.adoption = record
    this.startedAt = startedAt
    const found = adoptContainer(record)
    this.held = { namespaces: found.namespaces ?? {}, root: found.root, cgroups: found.cgroups }
    this.#door = found.door
    const ended = found.init === undefined && status !== 'created'
    this.status = ended ? status : this.#statusNow(status)
    if (this.status !== status) this.#context.save()
    this.#follow({
      init: found.init,
      keeper: found.keeper,
      fds: found.taken,
      console: found.taken['console'],
    })
  }

  /** What the shim before did last it may not have written down: then the kernel knows. */
  #statusNow(written: Status): Status {
    if (written === 'created') {
      if (!this.#door?.passed) return written
      this.#door.close()
      this.#door = undefined
      this.startedAt = nowRfc3339()
    }
    return this.#isFrozen() ? 'paused' : 'running'
  }

  async #open(door: Door): Promise<void> {
    const now = nowRfc3339()
    await door.open()
    this.startedAt = now
    this.#become('started', { event: 'started', startedAt: now })
  }

  /** What a `create` has left that was killed, of an earlier shim of this directory. */
  clearLeftovers(): Promise<void> {
    const { dir, spec, lock, launcher } = this.#context
    return launcher.clear({ dir, spec }, lock)
  }

  /** A container that had ended before this shim began. */
  restoreEnded(startedAt: string | null, exit: ExitRecord, record?: ContainerRecord): void {
    this.status = 'stopped'
    this.startedAt = startedAt
    this.exit = exit
    this.adoption = record
    if (record) this.held = { ...this.held, cgroups: adoptContainer(record).cgroups }
    this.process.abandon()
  }

  #follow(
    live: Pick<Parameters<ContainedProcess['follow']>[0], 'init' | 'keeper' | 'fds'> & {
      console?: number | undefined
    },
  ): void {
    const { dir } = this.#context
    const recordPath = `${dir}/exit.json`
    const { init, keeper, fds, console } = live
    const onInitEnd = async (): Promise<void> => {
      // Without a pid namespace of its own, the end of the first process leaves the others alive.
      if (this.adoption?.namespaces.pid !== 'new') killCgroup(this.held.cgroups)
    }
    const end = this.process.follow({ init, keeper, fds, console, recordPath }, { onInitEnd })
    this.ended = end.then((record) => this.#onEnd(record))
    this.ended.catch((error: Error) => this.#context.fail(error))
  }

  async #onEnd(record: Omit<ExitRecord, 'oomKilled'>): Promise<void> {
    await this.#starting // `true` may have ended before `start` was answered: its events keep their order
    const oomKilled = oomKills(this.held.cgroups) > 0
    if (oomKilled) this.#context.emit({ event: 'oom' })
    this.exit = { ...record, oomKilled }
    this.#door = undefined
    this.status = nextStatus(this.status, 'ended')
    try {
      this.#context.save()
    } catch (error) {
      // The keeper's record says the same to a later shim, and whoever waits for the end must hear of it.
      this.#context.fail(error as Error)
    }
    this.#context.emit({ event: 'exited', exit: this.exit })
    this.#releaseNamespaces()
  }

  /** Whoever connects the container to a network need not wait until it is made. */
  #onBorn(net: number): void {
    if (this.#born !== undefined) return closeFd(net) // its worker was killed: the first was told of already
    this.#born = net
    this.#context.emit({ event: 'born', net: this.namespaces().net! })
  }

  #become(event: LifecycleEvent, message: ShimEvent): void {
    this.status = nextStatus(this.status, event)
    this.#context.save()
    this.#context.emit(message)
  }

  /** runtime.md, lifecycle step 9: a failing poststart hook ends the container. */
  async #poststart(): Promise<void> {
    const hooked = this.#hooked()
    if (!hooked) return
    const { plan, bundle } = hooked
    try {
      await runHooks('poststart', plan.hooks.poststart, ociState(bundle, 'running', this.process.pid))
    } catch (error) {
      await this.#forceEnd()
      throw error
    }
  }

  async #poststop(): Promise<void> {
    const hooked = this.#hooked()
    if (hooked) await poststop(hooked.plan, hooked.bundle)
  }

  /** Undefined where no hooks run. A container of before a reboot has no record any more: its configuration tells. */
  #hooked(): { bundle: Bundle; plan: ContainerPlan } | undefined {
    if (this.adoption?.hooks === false) return undefined
    const bundle = readBundle(this.#context.dir, this.#context.spec)
    return { bundle, plan: planBundle(bundle) }
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

  /** Whoever has frozen it: on v1 nothing that is frozen can end. */
  #thaw(): void {
    if (this.#isFrozen()) resumeCgroup(this.held.cgroups)
  }

  #isFrozen(): boolean {
    return hasFreezer(this.held.cgroups) && isPaused(this.held.cgroups)
  }

  async #forceEnd(): Promise<void> {
    killCgroup(this.held.cgroups)
    try {
      this.process.kill(SIGKILL)
    } catch (error) {
      if (!hasCode(error, 'HF_CONTAINER_NOT_RUNNING')) throw error
    }
    this.#thaw()
    await this.ended
  }

  async #abandonCreate(): Promise<void> {
    this.status = 'created'
    await this.#forceEnd()
    await removeCgroups(this.held.cgroups)
    this.#release()
    await this.#left
    await this.#poststop()
  }

  /**
   * A network namespace lives, with its end of the veth pair, as long as anybody holds a descriptor of it. The last one of
   * a mount namespace waits for the kernel's readers, and that of an overlay for the disk: requests need not.
   */
  #releaseNamespaces(): void {
    const { namespaces, root, cgroups } = this.held
    const all = new Set(Object.values(namespaces))
    if (this.#born !== undefined) all.add(this.#born)
    this.#born = undefined
    this.held = { namespaces: {}, root: undefined, cgroups }
    if (all.size === 0 && root === undefined) return
    const [left, unmounted] = closeAside([...all], root === undefined ? [] : [root])
    this.#left = left
    this.unmounted = unmounted
  }

  #release(): void {
    this.#releaseNamespaces()
    for (const { dirFd } of this.held.cgroups) closeFd(dirFd)
    this.held.cgroups = []
  }
}

const commandErrors = ['HF_COMMAND_NOT_FOUND', 'HF_COMMAND_NOT_EXECUTABLE'] as const

function nothingToStart(): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', 'process is missing: there is nothing to start', {
    details: { path: 'process' },
  })
}
