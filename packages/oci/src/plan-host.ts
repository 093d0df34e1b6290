import { hostFacts, isRootless } from '@holdfast/core'
import type { HostFacts } from '@holdfast/plan'
import type { Request } from './front-end/request.ts'

/** The host as a plan sees it, with the rights of who asks. A root here is a directory: no layers are mounted. */
export function planHost({ capabilities }: Request): HostFacts {
  return { ...hostFacts(), overlayLowerFd: false, capabilities, ...(isRootless() && { rootless: true }) }
}
