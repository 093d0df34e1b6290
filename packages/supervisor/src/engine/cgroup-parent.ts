/**
 * `--cgroup-parent`: a cgroup that somebody else may own. The shim makes it where it isn't there; what was made for us is
 * taken away again with the last container in it.
 */
import { existsSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupMounts } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'

/** The fact in the records: a JSON list of directories that were not there before a container of ours was. */
const factName = 'made-cgroup-parents'

/** Before the shim makes them. */
export function noteCgroupParent(context: EngineContext, container: Container): void {
  const missing = directoriesOf(context, container).filter((path) => !existsSync(path))
  if (missing.length > 0) write(context, [...new Set([...read(context), ...missing])])
}

/** After the container's own cgroup has gone. What still has others in it stays, and is theirs to take away. */
export function removeCgroupParent(context: EngineContext, container: Container): void {
  const directories = directoriesOf(context, container)
  if (directories.length === 0) return
  const made = read(context)
  const removed = directories.filter((path) => made.includes(path) && removeIfEmpty(path))
  if (removed.length > 0)
    write(
      context,
      made.filter((path) => !removed.includes(path)),
    )
}

/** In every hierarchy the parent and what lies above it, the deepest first. */
function directoriesOf({ cgroupParent }: EngineContext, { record }: Container): string[] {
  const { CgroupParent } = record.hostConfig
  if (CgroupParent === '') return []
  const path = CgroupParent.startsWith('/') ? CgroupParent : `${cgroupParent}/${CgroupParent}`
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const levels = parts.map((_, index) => parts.slice(0, parts.length - index).join('/'))
  return cgroupMounts().flatMap((mount) => levels.map((level) => join(mount, level)))
}

function removeIfEmpty(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch (error) {
    if (hasCode(error, 'EBUSY', 'ENOTEMPTY')) return false // processes, or cgroups, in it
    if (hasCode(error, 'ENOENT')) return true
    throw error
  }
}

function read({ store }: EngineContext): string[] {
  return JSON.parse(store.fact(factName) ?? '[]') as string[]
}

function write({ store }: EngineContext, made: string[]): void {
  store.setFact(factName, JSON.stringify(made))
}
