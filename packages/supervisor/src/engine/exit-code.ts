import { hasCode } from '@holdfast/errors'
import { isNoPlace } from './no-place.ts'

/** Of a program that did not come to run: the shell's and Docker's convention, and dockerd's for a mount on a file. */
export function exitCodeOf(error: unknown): number {
  if (hasCode(error, 'HF_COMMAND_NOT_FOUND') || isNoPlace(error)) return 127
  return hasCode(error, 'HF_COMMAND_NOT_EXECUTABLE') ? 126 : 128
}
