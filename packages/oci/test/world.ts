/** A runtime root, bundles around a busybox root, and the command line on them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually, makeBusyboxRootfs } from '@holdfast/testkit'

export const executable = fileURLToPath(
  new URL(`../prebuilds/${process.platform}-${process.arch}/holdfast-oci`, import.meta.url),
)

/* oxlint-disable-next-line typescript/no-explicit-any -- a configuration under construction */
export type Json = any

export interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

export class OciWorld {
  readonly base = mkdtempSync(join(tmpdir(), 'hfoci-'))
  readonly root = join(this.base, 'root')
  readonly rootfs = join(this.base, 'rootfs')
  readonly #prefix = `hfoci-${process.pid}-${Math.random().toString(36).slice(2, 8)}`
  readonly #children: ChildProcess[] = []
  #count = 0

  constructor() {
    mkdirSync(this.rootfs)
    makeBusyboxRootfs(this.rootfs)
    for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(this.rootfs, name), { recursive: true })
  }

  /** An id that no other test has: it names the cgroup too. */
  id(): string {
    return `${this.#prefix}-${++this.#count}`
  }

  /** A directory with a config.json: what `spec` writes, without a terminal, running `args`. */
  bundle(args: string[], change: (config: Json) => void = () => {}): string {
    const directory = join(this.base, `bundle-${++this.#count}`)
    mkdirSync(directory)
    this.call(['spec', '--bundle', directory])
    const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Json
    config.process.terminal = false
    config.process.args = args
    config.root = { path: this.rootfs, readonly: false }
    change(config)
    writeFileSync(join(directory, 'config.json'), JSON.stringify(config))
    return directory
  }

  /** Waits for it; its standard streams are pipes that it must not leave open, unless `detached`. */
  call(
    args: string[],
    options: { detached?: boolean; input?: string; env?: NodeJS.ProcessEnv } = {},
  ): Outcome {
    const { status, stdout, stderr } = spawnSync(executable, ['--root', this.root, ...args], {
      encoding: 'utf8',
      timeout: 15_000,
      stdio: options.detached ? ['ignore', 'ignore', 'ignore'] : 'pipe',
      ...(options.input !== undefined && { input: options.input }),
      ...(options.env && { env: { ...process.env, ...options.env } }),
    })
    return { status, stdout: stdout ?? '', stderr: stderr ?? '' }
  }

  /** Throws where it fails: for what a test needs and isn't about. */
  must(args: string[], options: { detached?: boolean } = {}): string {
    const { status, stdout, stderr } = this.call(args, options)
    if (status !== 0) throw new Error(`${args.join(' ')}: ${status} ${stderr}`)
    return stdout
  }

  /** Runs a shell script with the executable as `$0`, where it sees its own mounts alone. */
  inNewMountNamespace(script: string, args: string[]): Outcome {
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', script, executable, ...args],
      {
        encoding: 'utf8',
        timeout: 15_000,
      },
    )
    return { status, stdout, stderr }
  }

  start(args: string[]): ChildProcess {
    const child = spawn(executable, ['--root', this.root, ...args], { stdio: 'pipe' })
    this.#children.push(child)
    return child
  }

  /** A created container. Its output goes to the file that is returned beside the id. */
  create(args: string[], change?: (config: Json) => void): string {
    const id = this.id()
    this.must(['create', '--bundle', this.bundle(args, change), id], { detached: true })
    return id
  }

  running(args: string[], change?: (config: Json) => void): string {
    const id = this.create(args, change)
    this.must(['start', id])
    return id
  }

  state(id: string): Json {
    return JSON.parse(this.must(['state', id]))
  }

  status(id: string): string {
    return this.state(id).status as string
  }

  stopped(id: string): Promise<unknown> {
    return eventually(() => this.status(id) === 'stopped')
  }

  /** What a container of this world, or an attempt at one, has left on the machine. */
  leftovers(id: string): string[] {
    const found = existsSync(join(this.root, id)) ? [`state directory of ${id}`] : []
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    if (mounts.includes(id)) found.push('a mount')
    // Of a container that has its root in this mount namespace.
    if (mounts.includes(` ${this.rootfs} `)) found.push('a root')
    return [...found, ...cgroupsNamed(id)]
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGKILL')
    if (existsSync(this.root)) {
      for (const id of this.must(['list', '-q']).split('\n').filter(Boolean))
        this.call(['delete', '--force', id])
    }
    rmSync(this.base, { recursive: true, force: true })
  }
}

/** In any hierarchy, directly beneath its top: where a configuration without a cgroupsPath puts it. */
function cgroupsNamed(id: string): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4]!)
  return mounts.flatMap((mount) =>
    readdirSync(mount)
      .filter((name) => name === id)
      .map((name) => join(mount, name)),
  )
}

/** Pids of the planners of that root. */
export function plannersOf(runtimeRoot: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => titleOf(pid) === `holdfast-oci: planner ${runtimeRoot}`)
}

function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replace(/\0+$/, '')
  } catch {
    return '' // gone
  }
}
