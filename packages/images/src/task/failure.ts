/** Errors on their way between threads: cloning one would lose its class and its code. */
import { HoldfastError } from '@holdfast/errors'
import type { FailureJson } from './task.ts'

export function failureJson(error: unknown): FailureJson {
  if (error instanceof HoldfastError) return { kind: 'holdfast', ...error.toJSON() }
  if (!(error instanceof Error)) return { kind: 'other', message: String(error) }
  const { message, stack } = error
  if ('code' in error && typeof error.code === 'string')
    return { kind: 'system', message, code: error.code, stack }
  return { kind: 'other', message, stack }
}

export function reviveFailure(json: FailureJson): Error {
  if (json.kind === 'holdfast') return HoldfastError.fromJSON(json)
  const error = new Error(json.message)
  if (json.stack !== undefined) error.stack = json.stack
  return json.kind === 'system' ? Object.assign(error, { code: json.code }) : error
}
