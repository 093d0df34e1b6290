#!/usr/bin/env node
/** `hold supervisor`: becomes the service, by execve(2): the same process, with the flags that Node takes at its start alone. */
// First of all: without a handler Node answers SIGUSR1 by opening its debugger to whoever can reach loopback.
process.on('SIGUSR1', () => {})

import { fileURLToPath } from 'node:url'
import { programFile } from './program-file.ts'

/**
 * For a small heap: what is young is collected after 2 MiB instead of 16, and one thread does all of V8's work. Each of
 * its helpers would have a stack and an arena of malloc's, and the service waits for other things than the processor.
 * That thread is the one that answers, so nothing is optimized that isn't called by the thousands: an ordinary request
 * would wait for that more often than gain by it.
 */
const nodeFlags = [
  '--min-semi-space-size=2',
  '--max-semi-space-size=2',
  '--v8-pool-size=0',
  '--single-threaded',
  '--invocation-count-for-maglev=4000',
  '--invocation-count-for-turbofan=30000',
  '--disable-warning=ExperimentalWarning',
]

const inSources = import.meta.url.endsWith('.ts')
/** A socket that was handed over to this process would be closed on the way: a unit file that does so names the flags. */
const socketActivated = process.argv.some((argument) => /^(--host=|-H=?)?fd:/.test(argument))

if (inSources || socketActivated) await import('./service.ts')
else becomeService()

function becomeService(): void {
  if (!process.execve) {
    process.stderr.write(`hold supervisor: needs Node 24 or later, and this is ${process.version}\n`)
    process.exit(1)
  }
  const service = programFile(fileURLToPath(new URL('./service.js', import.meta.url)))
  process.execve(
    process.execPath,
    [process.execPath, ...process.execArgv, ...nodeFlags, service, ...process.argv.slice(2)],
    // One arena for all threads of the pool: they hardly ever allocate, and keep what they once took.
    { ...(process.env as Record<string, string>), MALLOC_ARENA_MAX: '1' },
  )
}
