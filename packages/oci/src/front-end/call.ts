/** One call of the command line, as a verb sees it. */
import type { PacketConnection } from '@holdfast/core'
import type { Request } from './request.ts'

export interface Call {
  request: Request
  connection: PacketConnection
  /** The caller's standard input, for the verbs that read it. */
  input: number | undefined
  /** Collected, and printed when the verb is done. */
  print: (text: string) => void
  /** Logged by the front end at once. */
  warn: (text: string) => void
}

/** Resolves with the exit status; 0 unless given. */
export type Verb = (call: Call) => Promise<number | void> | number | void

/** An error that ends the call with a status other than 1. */
export class ExitError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
