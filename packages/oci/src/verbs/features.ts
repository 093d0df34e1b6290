/** `features` (features.md, features-linux.md): what this program knows, on whatever host. */
import { ociFeatures } from '@holdfast/plan'
import { annotationPrefix } from '../systemd/properties.ts'
import type { Call } from '../front-end/call.ts'

/** The plan's own lists: nothing is told here that isn't read there. And what --systemd-cgroup reads. */
export function printFeatures({ print }: Call): void {
  const { linux } = ociFeatures
  const features = {
    ...ociFeatures,
    linux: { ...linux, cgroup: { ...linux.cgroup, systemd: true } },
    potentiallyUnsafeConfigAnnotations: [annotationPrefix],
  }
  print(`${JSON.stringify(features, null, 4)}\n`)
}
