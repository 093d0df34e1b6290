/** `features` (features.md, features-linux.md): what this program knows, on whatever host. */
import { ociFeatures } from '@holdfast/plan'
import type { Call } from './call.ts'

/** The plan's own lists: nothing is told here that isn't read there. */
export function printFeatures({ print }: Call): void {
  print(`${JSON.stringify(ociFeatures, null, 4)}\n`)
}
