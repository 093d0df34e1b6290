import { HoldfastError } from '@holdfast/errors'

/** A malformed or hostile archive. `name` is the entry it is about. */
export function corrupt(message: string, name?: Buffer): HoldfastError {
  if (name === undefined) return new HoldfastError('HF_CORRUPT_LAYER', `invalid tar archive: ${message}`)
  const entry = printable(name)
  return new HoldfastError('HF_CORRUPT_LAYER', `invalid tar archive: ${entry}: ${message}`, {
    details: { entry },
  })
}

/** A file name as text for messages: escapes what is no printable ASCII, and shortens. */
export function printable(name: Buffer): string {
  const shown = JSON.stringify(name.subarray(0, 256).toString('latin1')).replace(
    /[^ -~]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
  return name.length > 256 ? `${shown}…` : shown
}
