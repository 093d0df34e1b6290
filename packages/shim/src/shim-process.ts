/** What a shim does as a process: its streams, its signals, its last words. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { startShim, type ShimOptions } from './shim.ts'

/** A handler keeps SIGUSR1 from opening Node's debugger on a TCP port, which a flag does only where Node has it. */
export function ignoreDebugger(): void {
  process.on('SIGUSR1', () => {})
}

/**
 * Standard streams of the shim's own: /dev/null and `errors`, its `<dir>/shim.log`. Those it was started with belong to the
 * supervisor, and must neither keep it from ending nor fail once it has ended. open(2) takes the lowest free number.
 * Without `errors` that stream stays the supervisor's.
 */
export function adoptStandardStreams(errors?: string): void {
  for (const [fd, path, flags] of [
    [0, '/dev/null', 'r'],
    [1, '/dev/null', 'w'],
    [2, errors, 'a'],
  ] as const) {
    if (path === undefined) continue
    closeSync(fd)
    openSync(path, flags, 0o600)
  }
}

let defects = 0
let prepared = false

/** Whether something went wrong in this process that nobody had foreseen. */
export function hadDefect(): boolean {
  return defects > 0
}

/** Once for a process, however many containers it holds one after the other. */
export function prepareProcess(): void {
  if (prepared) return
  prepared = true
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('uncaughtException', logDefect)
  process.on('unhandledRejection', logDefect)
}

/** Never returns to a caller that could do something about an error: what goes wrong is in shim.log. */
export function runShim(options: ShimOptions): void {
  prepareProcess()
  startShim(options).then(
    (shim) => {
      process.title = `holdfast: shim ${shim.spec.name}`
    },
    (error: unknown) => {
      logDefect(error)
      process.exit(1)
    },
  )
}

/** A defect ends one request, not the container's keeper of descriptors and writer of logs. */
function logDefect(error: unknown): void {
  defects++
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  writeSync(2, JSON.stringify({ time: new Date().toISOString(), level: 'error', message }) + '\n')
}
