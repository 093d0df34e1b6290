/** What is known of a system call that failed. */
export interface SyscallErrorOptions {
  /** The positive errno, as in errno(3). */
  errno: number
  /** Its name, `'EPERM'`. */
  code: string
  /** The system call's name, as in syscalls(2). */
  syscall: string
  path?: string | undefined
  dest?: string | undefined
  /** The step of a plan that failed, as `hold explain` prints it. */
  step?: string | undefined
  /** JSON path of the configuration's field that the step comes from. */
  field?: string | undefined
  /** What the reader can do about it. */
  hint?: string | undefined
}

/** A system call's failure, in the shape of Node's own system errors, with the plan's step and a hint. */
export class SyscallError extends Error {
  readonly errno: number
  readonly code: string
  readonly syscall: string
  readonly path: string | undefined
  readonly dest: string | undefined
  readonly step: string | undefined
  readonly field: string | undefined
  readonly hint: string | undefined

  constructor(options: SyscallErrorOptions) {
    const { code, syscall, path, dest, step, field } = options
    const where = path === undefined ? '' : ` '${path}'${dest === undefined ? '' : ` -> '${dest}'`}`
    const from = [field, step && `step: ${step}`].filter(Boolean).join('; ')
    super(`${syscall}${where}: ${code}${from === '' ? '' : ` (${from})`}`)
    this.name = 'SyscallError'
    this.errno = options.errno
    this.code = code
    this.syscall = syscall
    this.path = path
    this.dest = dest
    this.step = step
    this.field = field
    this.hint = options.hint
  }
}
