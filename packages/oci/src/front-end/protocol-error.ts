import { HoldfastError } from '@holdfast/errors'

export function protocolError(what: string): HoldfastError {
  return new HoldfastError('HF_PROTOCOL', `the front end and the planner disagree: ${what}`)
}
