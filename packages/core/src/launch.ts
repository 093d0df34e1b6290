/**
 * Starts the launcher: the static program in `launcher/` that carries out a table of steps. It is executed from a
 * sealed memfd, loaded once per process, so that no container can reach a file of the host through /proc/PID/exe.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import { bad, checkFd, checkPath } from './argument.ts'
import type { TableWriter, TableHeader } from './launch-table.ts'
import { memfdCreate } from './memfd.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  startLauncher(program: number, title: string, table: Buffer, fds: Int32Array, out: Int32Array): number
}

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

export interface LauncherProcess {
  pid: number
  /** Close-on-exec; the caller's to close. Reap with `pidfdWait`. */
  pidfd: number
}

export interface WaitingLauncher extends LauncherProcess {
  /** Has it begin, with the steps that were added to the table since. It waits for one byte on the report channel. */
  complete(header: TableHeader): void
  /** Without it the launcher never begins: it ends as the report channel does. */
  forget(): void
}

/** As `TABLE_AHEAD` in launcher/main.c. */
const tableAhead = 65_536

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
  const [pid, pidfd] = start(request, request.table.finish(request.header), 2)
  return { pid: pid!, pidfd: pidfd! }
}

/**
 * Starts a launcher before its table is complete: executing it is half of what a launch of its kind takes. What the table
 * has named by now is all that it is given.
 */
export function launchAhead(request: LaunchRequest): WaitingLauncher {
  const { table, header } = request
  table.finish(header)
  const waiting = Buffer.from('HFTW\0\0\0\0', 'latin1')
  waiting.writeUInt32LE(table.numberOf(header.report), 4)
  const [pid, pidfd, file] = start(request, waiting, 3)
  return {
    pid: pid!,
    pidfd: pidfd!,
    complete(last) {
      const bytes = table.finish(last)
      for (let at = 0; at < bytes.length;)
        at += writeSync(file!, bytes, at, bytes.length - at, tableAhead + at)
      closeSync(file!)
    },
    forget: () => closeSync(file!),
  }
}

function start(request: LaunchRequest, bytes: Buffer, results: number): Int32Array {
  const { table, title } = request
  const loaded = loadLauncher()
  const stdio = request.stdio ?? [nullFd!, nullFd!, nullFd!]
  const named = table.descriptors.map((name) => {
    const fd = request.fds[name]
    if (fd === undefined) throw bad('fds', `has no descriptor named ${name}`)
    return checkFd(fd, name)
  })
  const out = new Int32Array(results)
  const fds = Int32Array.from([...stdio.map((fd) => checkFd(fd, 'stdio')), ...named])
  const result = native.startLauncher(loaded, checkPath(title, 'title'), bytes, fds, out)
  check(result, errnoName(-result) === 'EAGAIN' ? 'clone' : 'execveat', { path: 'launcher' })
  return out
}
