import { HoldfastError } from '@holdfast/errors'

/** A value that makes no sense, in Docker's words where it has some. `field` is the API's name of it. */
export function badRequest(field: string, message: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { hint, details: { field } })
}

/** A value that makes sense and can't be honoured: refused by name, never dropped. */
export function unsupported(field: string, reason: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field} is not supported: ${reason}`, {
    hint,
    details: { field },
  })
}
