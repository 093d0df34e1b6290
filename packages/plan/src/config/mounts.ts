/** OCI runtime-spec `mounts` and the id maps that mounts and user namespaces share. */
import {
  invalid,
  list,
  nonEmpty,
  optional,
  string,
  struct,
  uint32,
  type Infer,
  type Reader,
} from './reader.ts'
import type { IdMapping } from '../step.ts'

const mapping = struct({ containerID: uint32, hostID: uint32, size: uint32 })

/** At most 340 lines fit a map (user_namespaces(7)); ranges of no size and overlaps are refused by the kernel late. */
export const idMappings: Reader<IdMapping[]> = (value, path) => {
  const mappings = list(mapping)(value, path)
  if (mappings.length > 340) throw invalid(path, `has ${mappings.length} entries; the kernel takes 340`)
  mappings.forEach((each, index) => {
    if (each.size === 0) throw invalid(`${path}[${index}].size`, 'must not be 0')
    for (const side of ['containerID', 'hostID'] as const) {
      // 2^32-1 is the kernel's "no id"; a range that reaches it would wrap.
      if (each[side] + each.size > 0xffff_ffff)
        throw invalid(`${path}[${index}].${side}`, 'reaches beyond the last id')
      const other = mappings.findIndex(
        (that, at) => at < index && overlap(each[side], each.size, that[side], that.size),
      )
      if (other >= 0) throw invalid(`${path}[${index}].${side}`, `overlaps with entry ${other}`)
    }
  })
  return mappings
}

function overlap(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize
}

const mount = struct({
  destination: nonEmpty,
  type: optional(string),
  source: optional(string),
  options: optional(list(string)),
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
})

/** OCI runtime-spec `mounts[]`. */
export type OciMount = Infer<typeof mount>

export const mounts: Reader<OciMount[]> = (value, path) => {
  const result = list(mount)(value, path)
  result.forEach((each, index) => {
    if (!!each.uidMappings?.length !== !!each.gidMappings?.length)
      throw invalid(`${path}[${index}]`, 'must give uidMappings and gidMappings together')
  })
  return result
}
