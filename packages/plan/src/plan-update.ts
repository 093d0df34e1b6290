import { HoldfastError } from '@holdfast/errors'
import { resources as readResourceFields } from './config/resources.ts'
import { resourceWrites, type CgroupWrite } from './cgroup/resources.ts'
import type { FdName } from './step.ts'

/** The cgroup of a container that runs: as `make-cgroup` of its plan had it. */
export interface CgroupPlace {
  version: 1 | 2
  directories: readonly { as: FdName; controllers: readonly string[] }[]
}

/**
 * Other limits for a running container: the writes, in order. `value` has the shape of `linux.resources`; `path` is
 * what errors call it. Throws HF_INVALID_CONFIG or HF_UNSUPPORTED, with the field.
 */
export function planUpdate(
  value: unknown,
  { version, directories }: CgroupPlace,
  path = 'resources',
): CgroupWrite[] {
  return resourceWrites(readResourceFields(value, path), version, (controller, field) => {
    const directory = directories.find(({ controllers }) => controllers.includes(controller))
    if (directory) return directory.as
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      `${field} is not supported: the container has no ${controller} cgroup`,
      {
        details: { field, path: field, controller },
      },
    )
  })
}
