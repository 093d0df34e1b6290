import { HoldfastError } from '@holdfast/errors'
import type { Container } from '../container.ts'
import type { LogOptions, LogStream } from '../engine.ts'
import { readLog } from './logs.ts'
import { isRunning } from '../waits.ts'

/** Throws HF_UNSUPPORTED for a container that keeps no log. */
export async function containerLogs(container: Container, options: LogOptions): Promise<LogStream> {
  const { record } = container
  if (record.hostConfig.LogConfig.Type === 'none') {
    throw new HoldfastError('HF_UNSUPPORTED', 'configured logging driver does not support reading', {
      hint: 'The container was made with --log-driver none: it keeps no log.',
      details: { field: 'HostConfig.LogConfig.Type' },
    })
  }
  // Only a container that runs writes more.
  const follow = options.follow && isRunning(record)
  return readLog(record.logPath, { ...options, follow }, container.ended.promise)
}
