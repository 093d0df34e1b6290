/**
 * Starts the launcher: the static program in `launcher/` that carries out a table of steps. It is executed from a
 * sealed memfd, loaded once per process, so that no container can reach a file of the host through /proc/PID/exe.
 */
import { openSync, readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import { bad, checkFd, checkPath } from './argument.ts'
import type { TableWriter, TableHeader } from './launch-table.ts'
import { memfdCreate } from './memfd.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  startLauncher(program: number, title: string, table: Buffer, fds: Int32Array, out: Int32Array): number
}

/** What the launcher is started with. */
export interface LaunchRequest {
  table: TableWriter
  header: TableHeader
  /** A descriptor for each name in the table. They stay the caller's. */
  fds: Readonly<Record<string, number>>
  /** What ps(1) shows of the launcher and the keeper that it becomes. */
  title: string
  /** The launcher's 0, 1 and 2; /dev/null unless given. */
  stdio?: readonly [number, number, number]
}

/** The launcher that was started. */
export interface LauncherProcess {
  pid: number
  /** Close-on-exec; the caller's to close. Reap with `pidfdWait`. */
  pidfd: number
}

let program: number | undefined
let nullFd: number | undefined

/** Loads the launcher and opens what every launch needs, so that a later launch doesn't. */
export function loadLauncher(): number {
  nullFd ??= openSync('/dev/null', 'r+')
  return (program ??= memfdCreate('holdfast-launcher', readLauncher(), true))
}

function readLauncher(): Buffer {
  const file = new URL(`../prebuilds/${process.platform}-${process.arch}/launcher`, import.meta.url)
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new HoldfastError(
      'HF_INTERNAL',
      `the launcher for ${process.platform}-${process.arch} cannot be read`,
      {
        hint: 'In a checkout, packages/core/build.sh builds it.',
        cause,
      },
    )
  }
}

/**
 * Starts one launch and returns once the launcher runs. What then happens it tells on the report channel
 * (`launch-report.ts`).
 */
export function launch(request: LaunchRequest): LauncherProcess {
  const { table, title } = request
  const bytes = table.finish(request.header)
  const loaded = loadLauncher()
  const stdio = request.stdio ?? [nullFd!, nullFd!, nullFd!]
  const named = table.descriptors.map((name) => {
    const fd = request.fds[name]
    if (fd === undefined) throw bad('fds', `has no descriptor named ${name}`)
    return checkFd(fd, name)
  })
  const out = new Int32Array(2)
  const fds = Int32Array.from([...stdio.map((fd) => checkFd(fd, 'stdio')), ...named])
  const result = native.startLauncher(loaded, checkPath(title, 'title'), bytes, fds, out)
  check(result, errnoName(-result) === 'EAGAIN' ? 'clone' : 'execveat', { path: 'launcher' })
  return { pid: out[0]!, pidfd: out[1]! }
}
