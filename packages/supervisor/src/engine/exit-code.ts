import { hasCode } from '@holdfast/errors'

/** Of a program that did not come to run: the shell's and Docker's convention. */
export function exitCodeOf(error: unknown): number {
  if (hasCode(error, 'HF_COMMAND_NOT_FOUND')) return 127
  if (hasCode(error, 'HF_INVALID_CONFIG')) return 127 // dockerd's, for a mount on a file
  return hasCode(error, 'HF_COMMAND_NOT_EXECUTABLE') ? 126 : 128
}
