import { HoldfastError } from '@holdfast/errors'
import type { Route } from '../route.ts'

/** A removal whose name a script left empty: dockerd's router takes that for a name, where a page is not found here. */
export const emptyNameRoutes: Route[] = [
  refusing('/containers/', 'invalid name or ID supplied: ""'),
  refusing('/images/', 'image name cannot be blank'),
  refusing('/networks/', 'network name cannot be blank'),
]

function refusing(path: string, message: string): Route {
  return {
    method: 'DELETE',
    path,
    handle: () => {
      throw new HoldfastError('HF_BAD_REQUEST', message)
    },
  }
}
