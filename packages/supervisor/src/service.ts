/** The engine as a service: what main.ts becomes. */
// First of all, see main.ts.
process.on('SIGUSR1', () => {})
// Four threads for all file work would let a few slow reads stop everything else. Read at the pool's first use.
process.env['UV_THREADPOOL_SIZE'] ??= '16'

import { readFileSync } from 'node:fs'
import { setCloexecFrom, trimMemory } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { pino, destination } from 'pino'
import { serveApi, type ApiServer } from './api/serve.ts'
import type { ContainerEngine } from './engine/container-engine.ts'
import { openEngine } from './engine/open-engine.ts'
import { parseFlags, usage, type Flags } from './flags.ts'
import { lockInstance } from './instance-lock.ts'
import { notifyReady } from './notify-ready.ts'

const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version

/** How long the end may take before the process ends anyway: containers don't need us. */
const shutdownDeadlineMs = 10_000

try {
  const flags = parseFlags(process.argv.slice(2))
  if (flags.help) process.stdout.write(usage)
  else if (flags.version) process.stdout.write(`Holdfast version ${version}\n`)
  else await run(flags)
} catch (error) {
  fail(error)
}

async function run(flags: Flags): Promise<void> {
  checkEnvironment()
  process.umask(0o077)
  setCloexecFrom(3) // what we inherited must not reach what we start
  process.title = 'holdfast: supervisor'
  const logger = pino(
    { level: flags.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ fd: 2, sync: true }),
  )
  using lock = lockInstance(flags)
  const engine = await openEngine({ ...flags, purging: flags.purge, logger, version })
  if (flags.purge) {
    try {
      await engine.purge()
    } finally {
      await engine.close()
    }
    return
  }
  const server = await serveApi({ engine, hosts: flags.hosts, group: flags.group, logger, version })
  lock.writePid()
  await notifyReady()
  logger.info({ hosts: flags.hosts, instance: flags.instance, version }, 'ready')
  trimMemory()
  await untilSignal()
  logger.info('ending; containers go on')
  await shutDown(server, engine)
}

/** These would run code of somebody's in a root service, and in every process that it starts. */
function checkEnvironment(): void {
  for (const name of ['NODE_OPTIONS', 'NODE_PATH', 'LD_PRELOAD']) {
    if (!process.env[name]) continue
    throw new HoldfastError('HF_FORBIDDEN', `the supervisor does not run with ${name} set`, {
      hint: `Unset ${name}: it would run other code with root's rights.`,
    })
  }
  // Read by every Node process at its start, at a cost of 40 ms; nothing here makes TLS connections with it.
  delete process.env['NODE_EXTRA_CA_CERTS']
  if (process.getuid?.() !== 0) {
    throw new HoldfastError('HF_NO_ROOT', 'the supervisor needs root rights', {
      hint: 'Start it with sudo, or as a system service.',
    })
  }
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
}

async function shutDown(server: ApiServer, engine: ContainerEngine): Promise<void> {
  const timer = setTimeout(() => process.exit(1), shutdownDeadlineMs)
  await server.close()
  await engine.close()
  clearTimeout(timer)
}

function fail(error: unknown): void {
  const { message, hint } =
    error instanceof Error
      ? (error as Error & { hint?: string })
      : { message: String(error), hint: undefined }
  process.stderr.write(`hold supervisor: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`)
  if (!(error instanceof HoldfastError) && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  process.exitCode = 1
}
