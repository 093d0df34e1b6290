/** Text frames in and out of a control connection. What comes from outside is validated into fresh objects. */
import * as v from 'valibot'
import { errorCodes, HoldfastError, type ErrorCode, type ErrorJson } from '@holdfast/errors'
import { execSpecSchema, requestSchemas, shimSpecSchema } from './schema.ts'
import type { ExecSpec, Method, RequestFrame, ResponseFrame, ShimEvent, ShimSpec } from './messages.ts'

/** No frame is longer than this. */
export const maxFrame = 1 << 20

/** Reads a request. Throws HF_PROTOCOL (not a request at all) or HF_BAD_REQUEST with `details.field` and `.id`. */
export function parseRequest(text: string): RequestFrame {
  const frame = parseObject(text)
  const { id, method } = frame
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0)
    throw protocolError('a request has no id')
  if (typeof method !== 'string' || !Object.hasOwn(requestSchemas, method)) {
    throw new HoldfastError('HF_BAD_REQUEST', `unknown method: ${String(method).slice(0, 64)}`, {
      details: { field: 'method', id },
    })
  }
  const schema: v.GenericSchema = requestSchemas[method as Method]
  const result = v.safeParse(schema, frame['params'] ?? {})
  if (!result.success) {
    const { field, message } = firstIssue(result.issues)
    throw new HoldfastError('HF_BAD_REQUEST', `${method}: ${field}: ${message}`, { details: { field, id } })
  }
  return { id, method: method as Method, params: result.output as RequestFrame['params'] }
}

/** Reads what a shim sent on a control connection. The shim is trusted as far as its shapes go. */
export function parseShimFrame(text: string): ResponseFrame | ShimEvent {
  const frame = parseObject(text)
  if (typeof frame['event'] === 'string') return frame as unknown as ShimEvent
  if (typeof frame['id'] !== 'number') throw protocolError('a frame is neither an answer nor an event')
  if ('error' in frame) return { id: frame['id'], error: parseError(frame['error']) }
  return { id: frame['id'], result: frame['result'] }
}

/** Reads `<dir>/shim.json`. Throws HF_INVALID_CONFIG with the field's path. */
export function parseShimSpec(text: string): ShimSpec {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new HoldfastError('HF_INVALID_CONFIG', 'shim.json is not JSON', { cause, details: { path: '' } })
  }
  const result = v.safeParse(shimSpecSchema, json)
  if (result.success) return result.output as ShimSpec
  const { field, message } = firstIssue(result.issues)
  throw new HoldfastError('HF_INVALID_CONFIG', `shim.json: ${field}: ${message}`, {
    details: { path: field },
  })
}

/** What `exec.start` would refuse is refused here too. Throws HF_BAD_REQUEST with `details.field`. */
export function parseExecSpec(spec: ExecSpec): ExecSpec {
  const result = v.safeParse(execSpecSchema, spec)
  if (result.success) return result.output as ExecSpec
  const { field, message } = firstIssue(result.issues)
  throw new HoldfastError('HF_BAD_REQUEST', `exec: ${field}: ${message}`, { details: { field } })
}

/** The shape in which any error crosses the socket. An error that isn't ours becomes HF_INTERNAL, or its errno's. */
export function errorToJson(error: unknown): ErrorJson {
  if (error instanceof HoldfastError) return error.toJSON()
  if (!(error instanceof Error)) return { code: 'HF_INTERNAL', message: String(error) }
  const { code, errno, syscall, path, step, field, hint } = error as Error & Record<string, unknown>
  return {
    code: code === 'ENOSPC' || code === 'EDQUOT' ? 'HF_DISK_FULL' : 'HF_INTERNAL',
    message: error.message,
    ...(typeof hint === 'string' && { hint }),
    ...(typeof syscall === 'string' && { details: { code, errno, syscall, path, step, field } }),
  }
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new HoldfastError('HF_PROTOCOL', 'a text frame is not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw protocolError('a text frame is not a JSON object')
  }
  return value as Record<string, unknown>
}

function parseError(value: unknown): ErrorJson {
  const { code, message, hint, details } = (value ?? {}) as Partial<ErrorJson>
  const known = typeof code === 'string' && Object.hasOwn(errorCodes, code)
  return {
    code: known ? (code as ErrorCode) : 'HF_PROTOCOL',
    message: typeof message === 'string' ? message : 'an error without a message',
    ...(typeof hint === 'string' && { hint }),
    ...(typeof details === 'object' && details !== null && { details }),
  }
}

function firstIssue(issues: readonly v.BaseIssue<unknown>[]): { field: string; message: string } {
  const issue = issues[0]
  return { field: (issue && v.getDotPath(issue)) ?? '', message: issue?.message ?? 'invalid' }
}

function protocolError(message: string): HoldfastError {
  return new HoldfastError('HF_PROTOCOL', message)
}
