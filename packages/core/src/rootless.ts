/** Making user namespaces without rights over every id of the host: as another user than root, or inside one. */
import { readFileSync, writeFileSync } from 'node:fs'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { idMapText, usernsHints, type IdMapping } from './namespace.ts'
import { addon, check } from './native.ts'

const native = addon as { createUserNamespaceBy(write: (pid: number) => void): number }

/** Not root, or root of a user namespace: there is nobody's device that could be made, and few ids that could be taken. */
export function isRootless(): boolean {
  return process.geteuid?.() !== 0 || inUserNamespace(readFileSync('/proc/self/uid_map', 'latin1'))
}

/** By /proc/self/uid_map: the initial one maps every id to itself (user_namespaces(7)). */
export function inUserNamespace(uidMap: string): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(uidMap)
}

/**
 * A new user namespace with these maps and no process in it. The caller's own id, alone, anybody may map, if at the price
 * of setgroups(2) in there; for others newuidmap(1) and newgidmap(1) ask /etc/subuid and /etc/subgid.
 */
export function createUserNamespaceRootless(maps: {
  uid: readonly IdMapping[]
  gid: readonly IdMapping[]
}): number {
  const write = (pid: number): void => {
    writeMap(pid, 'uid', maps.uid)
    // user_namespaces(7): before the map is written, by whoever has no CAP_SETGID outside.
    if (mapsOnly(maps.gid, process.getegid?.())) refuseGroups(pid)
    writeMap(pid, 'gid', maps.gid)
  }
  return check(native.createUserNamespaceBy(write), 'clone3(CLONE_NEWUSER)', { hints: usernsHints })
}

function mapsOnly(map: readonly IdMapping[], id: number | undefined): boolean {
  return map.length === 1 && map[0]!.size === 1 && map[0]!.hostID === id
}

function refuseGroups(pid: number): void {
  if (process.geteuid?.() !== 0) writeFileSync(`/proc/${pid}/setgroups`, 'deny')
}

function writeMap(pid: number, kind: 'uid' | 'gid', map: readonly IdMapping[]): void {
  try {
    // In one write(2): the kernel takes no second one.
    writeFileSync(`/proc/${pid}/${kind}_map`, idMapText(map, kind))
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'EACCES')) throw error
    mapByTool(pid, kind, map)
  }
}

function mapByTool(pid: number, kind: 'uid' | 'gid', map: readonly IdMapping[]): void {
  const tool = `new${kind}map`
  const numbers = map.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size])
  try {
    // Few processes ever need it: loaded when one does.
    const { execFileSync } = process.getBuiltinModule('node:child_process')
    execFileSync(tool, [pid, ...numbers].map(String), { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    const missing = hasCode(error, 'ENOENT')
    const said = missing
      ? `${tool} is not installed`
      : String((error as { stderr?: Buffer }).stderr ?? '').trim()
    throw new HoldfastError('HF_INVALID_CONFIG', `linux.${kind}Mappings: ${said}`, {
      hint: missing
        ? 'Install it (Debian: uidmap), or map one id alone, your own.'
        : `Give your user a range in /etc/sub${kind} that has these ids.`,
      details: { path: `linux.${kind}Mappings` },
      cause: error,
    })
  }
}
