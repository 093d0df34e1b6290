/** User namespaces and their maps: the container's own, and those that only carry the map of an idmapped mount. */
import { invalid } from './config/reader.ts'
import type { OciConfig } from './config/config.ts'
import type { Namespaces } from './namespaces.ts'
import type { Preparation } from './plan.ts'
import type { FdName, IdMapping } from './step.ts'

/**
 * The host's id that `id` stands for in the container, for what stage one makes on the container's behalf. A joined
 * user namespace whose map the configuration doesn't repeat leaves 0: what is made then shows up as nobody's inside.
 */
export function hostId(mappings: IdMapping[] | undefined, id: number): number {
  if (!mappings?.length) return id
  const mapping = mappings.find((each) => id >= each.containerID && id < each.containerID + each.size)
  return mapping ? mapping.hostID + (id - mapping.containerID) : 0
}

/** Whether a process in the container can be `id` at all; setresuid(2) would answer EINVAL much later. */
export function checkMapped(mappings: IdMapping[] | undefined, id: number, path: string): void {
  if (!mappings?.length) return
  const known = mappings.some((each) => id >= each.containerID && id < each.containerID + each.size)
  if (!known) throw invalid(path, `is ${id}, which the user namespace does not map`)
}

/** Collects the user namespaces a plan needs for maps; mounts with the same maps share one. */
export class IdMaps {
  readonly preparations: Preparation[] = []
  readonly #names = new Map<string, FdName>()
  readonly #rootless: boolean

  constructor(config: OciConfig, namespaces: Namespaces, rootless: boolean) {
    this.#rootless = rootless
    const { uidMappings: uid = [], gidMappings: gid = [] } = config.linux ?? {}
    if (namespaces.origin.user === 'new') this.#add('userns', uid, gid)
  }

  /** The descriptor that carries these maps. */
  named(uid: IdMapping[], gid: IdMapping[]): FdName {
    return this.#names.get(key(uid, gid)) ?? this.#add(`idmap:${this.#names.size}`, uid, gid)
  }

  #add(as: FdName, uid: IdMapping[], gid: IdMapping[]): FdName {
    const rootless = this.#rootless
    this.preparations.push({ do: 'make-userns', as, uid, gid, ...(rootless && { rootless }) })
    this.#names.set(key(uid, gid), as)
    return as
  }
}

function key(uid: IdMapping[], gid: IdMapping[]): string {
  return JSON.stringify([uid, gid])
}
