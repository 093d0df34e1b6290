import { HoldfastError } from '@holdfast/errors'
import * as v from 'valibot'
import type { ExecOptions } from '../../engine/engine.ts'
import { parseDetachKeys } from '../detach-keys.ts'
import { command, flag, parseBody, text, textList } from './primitives.ts'

const consoleSize = v.nullish(
  v.tuple([
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
  ]),
  null,
)

const execCreateSchema = v.object({
  Cmd: command,
  Env: textList,
  User: text,
  WorkingDir: text,
  Tty: flag,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  Privileged: flag,
  DetachKeys: text,
  ConsoleSize: consoleSize,
})

/** Throws HF_BAD_REQUEST. */
export function parseExecCreate(body: unknown): ExecOptions {
  const exec = parseBody(execCreateSchema, body)
  if (exec.Cmd === null || exec.Cmd.length === 0)
    throw new HoldfastError('HF_BAD_REQUEST', 'No exec command specified')
  if (exec.DetachKeys !== '') parseDetachKeys(exec.DetachKeys)
  return {
    args: exec.Cmd,
    env: exec.Env,
    user: exec.User,
    workingDir: exec.WorkingDir,
    tty: exec.Tty,
    attachStdin: exec.AttachStdin,
    attachStdout: exec.AttachStdout,
    attachStderr: exec.AttachStderr,
    privileged: exec.Privileged,
    detachKeys: exec.DetachKeys,
    ...(exec.ConsoleSize === null ? {} : { consoleSize: exec.ConsoleSize }),
  }
}

const execStartSchema = v.object({ Detach: flag, Tty: flag, ConsoleSize: consoleSize })

export interface ExecStart {
  detach: boolean
  tty: boolean
  consoleSize?: [number, number]
}

/** Throws HF_BAD_REQUEST. */
export function parseExecStart(body: unknown): ExecStart {
  const start = parseBody(execStartSchema, body ?? {})
  if (start.ConsoleSize !== null && !start.Tty) {
    throw new HoldfastError('HF_BAD_REQUEST', 'console size is only supported when TTY is enabled')
  }
  return {
    detach: start.Detach,
    tty: start.Tty,
    ...(start.ConsoleSize === null ? {} : { consoleSize: start.ConsoleSize }),
  }
}
