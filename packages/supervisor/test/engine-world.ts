/** An engine of the test's own, in this process: roots, instance and id ranges that nobody else has. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pino } from 'pino'
import { busyboxTar, eventually, findLeaks, uniqueInstance } from '@holdfast/testkit'
import type { ContainerConfig, HostConfig } from '../src/engine/container-config.ts'
import type { ContainerEngine } from '../src/engine/container-engine.ts'
import { emptyConfig, emptyHostConfig } from '../src/engine/empty-config.ts'
import type { EngineEvent } from '../src/engine/events/events.ts'
import { openEngine } from '../src/engine/open-engine.ts'

export class EngineWorld implements AsyncDisposable {
  readonly instance = uniqueInstance()
  readonly root = mkdtempSync('/tmp/hf-')
  engine!: ContainerEngine
  readonly log: string[] = []
  readonly #plain: boolean
  #unmount: () => void = () => {}

  private constructor(plain: boolean) {
    this.#plain = plain
  }

  /** `diskMiB`: the data root is a file system of its own, of this size. */
  static async open({ plainShims = false, diskMiB = 0 } = {}): Promise<EngineWorld> {
    const scratch = mkdtempSync('/tmp/hf-')
    process.umask(0o022) // another world may have been opened in this process before
    const tar = busyboxTar(scratch)
    rmSync(scratch, { recursive: true })
    process.umask(0o077) // as the supervisor's program does
    const world = new EngineWorld(plainShims)
    if (diskMiB > 0) world.#mountDisk(diskMiB)
    await world.reopen()
    await world.engine.images.import(Readable.from([tar]), { reference: 'busybox:latest' })
    return world
  }

  #mountDisk(size: number): void {
    const path = `${this.root}/data`
    mkdirSync(path)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}m`, 'tmpfs', path])
    this.#unmount = () => execFileSync('umount', [path])
  }

  /** The next engine over the same roots; `close` the one before first. */
  async reopen({ purging = false } = {}): Promise<void> {
    this.engine = await openEngine({
      instance: this.instance,
      dataRoot: `${this.root}/data`,
      execRoot: `${this.root}/run`,
      version: '0',
      logger: pino({ level: 'warn' }, { write: (line: string) => void this.log.push(line) }),
      addressPool: { base: '10.213.0.0/16', size: 24 },
      plainShims: this.#plain,
      purging,
      usernsBase: 0x7000_0000,
      idRangesFile: `${this.root}/ids.db`,
    })
  }

  async create(
    command: string | string[],
    host: Partial<HostConfig> = {},
    config: Partial<ContainerConfig> = {},
  ): Promise<string> {
    const Cmd = typeof command === 'string' ? ['sh', '-c', command] : command
    const json = { Type: 'json-file', Config: {} }
    const { id } = await this.engine.create(
      undefined,
      { ...emptyConfig(), Image: 'busybox', Cmd, ...config },
      { ...emptyHostConfig(), NetworkMode: 'none', LogConfig: json, ...host },
      { EndpointsConfig: {} },
    )
    return id
  }

  async start(
    command: string | string[],
    host: Partial<HostConfig> = {},
    config: Partial<ContainerConfig> = {},
  ): Promise<string> {
    const id = await this.create(command, host, config)
    await this.engine.start(id)
    return id
  }

  /** Runs to the end; what it wrote and how it ended. */
  async run(
    command: string | string[],
    host: Partial<HostConfig> = {},
    config: Partial<ContainerConfig> = {},
  ): Promise<{ code: number; output: string }> {
    const id = await this.start(command, host, config)
    const code = await this.exit(id)
    return { code, output: await this.output(id) }
  }

  async exit(
    id: string,
    condition: 'not-running' | 'next-exit' | 'removed' = 'not-running',
  ): Promise<number> {
    return (await (await this.engine.wait(id, condition, never)).exit).statusCode
  }

  async output(id: string, follow = false): Promise<string> {
    const log = await this.engine.logs(id, { stdout: true, stderr: true, follow, tail: -1, signal: never })
    let text = ''
    for await (const { data } of log) text += String(data)
    return text
  }

  async exec(
    id: string,
    command: string,
    options: { user?: string; tty?: boolean } = {},
  ): Promise<{ code: number | null; output: string }> {
    const exec = await this.execCreate(id, command, options)
    const session = await this.engine.execStart(exec, { detach: false, tty: options.tty ?? false })
    let output = ''
    for await (const { data } of session!.output) output += String(data)
    return { code: (await this.engine.execGet(exec)).exitCode, output }
  }

  execCreate(
    id: string,
    command: string,
    { user = '', tty = false, workingDir = '' }: { user?: string; tty?: boolean; workingDir?: string } = {},
  ): Promise<string> {
    return this.engine.execCreate(id, {
      args: ['sh', '-c', command],
      env: [],
      user,
      workingDir,
      tty,
      attachStdin: false,
      attachStdout: true,
      attachStderr: true,
      privileged: false,
    })
  }

  /** Collects events until `stop`. */
  watch(): { events: EngineEvent[]; stop(): void } {
    const abort = new AbortController()
    const events: EngineEvent[] = []
    void (async () => {
      for await (const event of this.engine.events({ matches: () => true }, abort.signal)) events.push(event)
    })()
    return { events, stop: () => abort.abort() }
  }

  /** Removes every container and the instance itself, and fails when anything of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const { id } of this.engine.list())
        await this.engine.remove(id, { force: true, volumes: true }).catch(() => {})
      await this.engine.purge()
      await this.engine.close()
      this.#unmount()
      await eventually(() => {
        const leaks = findLeaks({ instance: this.instance, root: this.root })
        if (leaks.length > 0) throw new Error(`left behind:\n${leaks.join('\n')}\n${this.log.join('')}`)
        return true
      })
    } finally {
      rmSync(this.root, { recursive: true, force: true })
    }
  }
}

const never = new AbortController().signal
