import type { ErrorCode } from './registry.ts'

/** What an error has beside its code and message. */
export interface ErrorDetails {
  /** What the reader can do about it, as a full sentence. */
  hint?: string | undefined
  /** The error beneath this one. */
  cause?: unknown
  /** Machine-readable facts: the field's JSON path, the digest that was expected, who holds the port, … */
  details?: Record<string, unknown> | undefined
}

/** An error that Holdfast understands: `code` is stable and listed in `docs/errors.md`. */
export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Record<string, unknown> | undefined

  constructor(code: ErrorCode, message: string, options: ErrorDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HoldfastError'
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }

  /** The shape in which an error crosses a socket. `fromJSON` reads it back. */
  toJSON(): ErrorJson {
    return { code: this.code, message: this.message, hint: this.hint, details: this.details }
  }

  static fromJSON(json: ErrorJson): HoldfastError {
    return new HoldfastError(json.code, json.message, { hint: json.hint, details: json.details })
  }
}

/** A HoldfastError as it crosses a socket, and as the API answers it beside Docker's `message`. */
export interface ErrorJson {
  code: ErrorCode
  message: string
  hint?: string | undefined
  details?: Record<string, unknown> | undefined
}

/** Whether `error` carries this `code`: for catching the one error that is expected. Works for errno codes too. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as string)
}
