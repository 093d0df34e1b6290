/** A failed step, as the launcher reports it → the error that the caller gets. */
import { errnoName, type LaunchReport } from '@holdfast/core'
import { HoldfastError, SyscallError } from '@holdfast/errors'
import { describeStep, stepField, type Step } from '@holdfast/plan'
import { launchHint } from './launch-hints.ts'

type Failure = Extract<LaunchReport, { kind: 'error' }>

/** What a step is called in messages. */
export interface NamedStep {
  do: Step['do']
  text: string
  field?: string | undefined
}

export function nameStep(step: Step): NamedStep {
  return { do: step.do, text: describeStep(step), field: stepField(step) }
}

export function launchError(failure: Failure, steps: readonly Step[]): Error {
  const step = steps[failure.step]
  return stepError(failure, step && nameStep(step))
}

/** `step`: the one that failed, where it is known. */
export function stepError(failure: Failure, step: NamedStep | undefined): Error {
  const code = errnoName(failure.errno)
  // Behind the door the program is all that is executed, but for hooks.
  if (failure.syscall === 'execve' && step?.do !== 'hook') return execError(code, failure.detail)
  return new SyscallError({
    errno: failure.errno,
    code,
    syscall: failure.syscall,
    path: failure.detail === '' ? undefined : withSignalName(failure.detail),
    step: step?.text,
    field: step?.field,
    hint: step === undefined ? undefined : launchHint(step.do, code),
  })
}

/** `…: signal 31`, as the launcher has it of a hook → its name, in the words that runc prints. */
function withSignalName(detail: string): string {
  return detail.replace(/: signal (\d+)$/, (_, number: string) => `: signal: ${signals[number] ?? number}`)
}

const signals: Partial<Record<string, string>> = {
  6: 'aborted',
  9: 'killed',
  11: 'segmentation fault',
  15: 'terminated',
  31: 'bad system call',
}

/** In the words that `docker run` prints for the same. */
function execError(code: string, program: string): HoldfastError {
  const quoted = `exec: ${JSON.stringify(program)}`
  const details = { program, errno: code }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const reason = program.includes('/')
      ? `stat ${program}: ${code === 'ENOENT' ? 'no such file or directory' : 'not a directory'}`
      : 'executable file not found in $PATH'
    return new HoldfastError('HF_COMMAND_NOT_FOUND', `${quoted}: ${reason}`, { details })
  }
  return new HoldfastError('HF_COMMAND_NOT_EXECUTABLE', `${quoted}: ${execReasons[code] ?? code}`, {
    details,
    hint: execHints[code],
  })
}

const execReasons: Partial<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOEXEC: 'exec format error',
  EISDIR: 'is a directory',
  E2BIG: 'argument list too long',
  ENOMEM: 'cannot allocate memory',
  ELOOP: 'too many levels of symbolic links',
  ETXTBSY: 'text file busy',
}

const execHints: Partial<Record<string, string>> = {
  EACCES: 'Its mode lacks the x bit for this user, it is a directory, or its mount is noexec.',
  ENOEXEC: "It is for another architecture, or a script without a '#!' line.",
  E2BIG: 'Arguments and environment together are larger than the kernel takes.',
}
