/** The end of a container: its record first, then who waits for it, then what it leaves behind. */
import type { ExitRecord } from '@holdfast/protocol'
import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { disconnectNetwork } from './network/endpoint.ts'
import { endExecs } from './exec.ts'
import { autoRemove } from './remove.ts'
import { discardShim } from './shim/shim-directory.ts'
import { nowText, parseTime } from './time.ts'
import { isRunning } from './waits.ts'

/** Nobody saw how it ended. 255 is what Docker says then. */
export function unknownExit(): ExitRecord {
  return { exitCode: null, signal: null, oomKilled: false, finishedAt: nowText() }
}

export function containerExited(
  context: EngineContext,
  container: Container,
  exit: ExitRecord,
  why = '',
): void {
  if (!isRunning(container.record)) return
  const { startedAt, oomKilled } = container.record.state
  const exitCode = exit.exitCode ?? 255
  container.update({
    status: 'exited',
    pid: 0,
    exitCode,
    error: exit.exitCode === null ? why || 'nobody saw how it ended' : why,
    oomKilled: oomKilled || exit.oomKilled,
    finishedAt: exit.finishedAt,
  })
  endExecs(context, container)
  container.ended.resolve()
  container.waits.exited(container.record)
  const started = parseTime(startedAt) ?? 0n
  const lasted = started === 0n ? 0n : ((parseTime(exit.finishedAt) ?? started) - started) / 1_000_000_000n
  containerEvent(context, container, 'die', { exitCode: String(exitCode), execDuration: String(lasted) })
  container.cleanup = cleanUp(context, container)
  if (container.record.hostConfig.AutoRemove && !container.restarting) autoRemove(context, container)
}

/** Never throws: what could not be taken down stays in the books, and is tried again on remove and on restart. */
async function cleanUp(context: EngineContext, container: Container): Promise<void> {
  const results = await Promise.allSettled([
    context.reserve.runAsync(() => disconnectNetwork(context, container)),
    discardShim(context, container),
  ])
  for (const result of results) {
    if (result.status === 'fulfilled') continue
    context.logger.error(
      { err: result.reason as unknown, container: container.id },
      'cleaning up after a container',
    )
  }
}
