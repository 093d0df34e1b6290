/** The id maps of a user namespace that a configuration joins: its own, whatever the configuration says of them. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import type { OciConfig } from '@holdfast/plan'

/**
 * The configuration with the real maps in it, so that owners and checks are right: engines leave them out, or put in
 * a line that is none (podman). Where no process lives in the namespace its maps can't be read, and the
 * configuration's stay.
 */
export function withJoinedMaps(config: OciConfig): OciConfig {
  const path = config.linux?.namespaces?.find(({ type, path: at }) => type === 'user' && at)?.path
  if (path === undefined) return config
  // Where no process is named, one must be looked for among all; maps that are given save that.
  const given = (config.linux?.uidMappings?.length ?? 0) > 0
  const pid = processIn(path) ?? (given ? undefined : memberOf(path))
  if (pid === undefined) return config
  try {
    const [uidMappings, gidMappings] = [readMap(`/proc/${pid}/uid_map`), readMap(`/proc/${pid}/gid_map`)]
    return { ...config, linux: { ...config.linux, uidMappings, gidMappings } }
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ESRCH')) throw error
    return config // it has just ended
  }
}

/** `/proc/PID/ns/user` → PID. */
function processIn(path: string): string | undefined {
  return /^\/proc\/(\d+)\/ns\/user$/.exec(path)?.[1]
}

/** Some process in the user namespace at `path`. */
function memberOf(path: string): string | undefined {
  const wanted = inode(path)
  if (wanted === undefined) return undefined // opening it will say why
  return readdirSync('/proc').find((name) => /^\d+$/.test(name) && inode(`/proc/${name}/ns/user`) === wanted)
}

function inode(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'ENOTDIR')) return undefined
    throw error
  }
}

function readMap(path: string): { containerID: number; hostID: number; size: number }[] {
  return readFileSync(path, 'latin1')
    .trim()
    .split('\n')
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number)
      return { containerID, hostID, size }
    })
}
