/**
 * Compiled filters by their profile: in memory, and in a directory that outlives the process where it is given one.
 * A file has one line of JSON (the profile included, so a name's collision or another version is never mistaken for
 * the profile asked for) and then the program.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import type { CompiledSeccomp } from './seccomp.ts'

const memory = new Map<string, CompiledSeccomp>()
const memoryLimit = 64
let directory: string | undefined

/** Changes whenever the same profile compiles to something else. */
const version = 1

/**
 * Keeps filters in this directory too. It must exist and belong to root alone (mode 0700): what lies there is loaded
 * into the kernel as it is. `undefined` goes back to memory alone.
 */
export function keepCompiledSeccomp(path: string | undefined): void {
  directory = path
}

export function findCompiled(key: string): CompiledSeccomp | undefined {
  const known = memory.get(key) ?? readCompiled(key)
  if (known) remember(key, known)
  return known
}

export function keepCompiled(key: string, compiled: CompiledSeccomp): void {
  remember(key, compiled)
  if (directory === undefined) return
  const { program, ...rest } = compiled
  const head = JSON.stringify({ version, arch: process.arch, key, length: program.length, ...rest })
  const path = join(directory, fileName(key))
  try {
    // Renamed into place: another process sees the whole file or none.
    writeFileSync(`${path}.${process.pid}`, Buffer.concat([Buffer.from(`${head}\n`), program]), {
      mode: 0o600,
    })
    renameSync(`${path}.${process.pid}`, path)
  } catch (error) {
    // A full disk or a directory that was removed costs time, not the filter.
    if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'ENOENT', 'EROFS')) throw error
  }
}

function readCompiled(key: string): CompiledSeccomp | undefined {
  if (directory === undefined) return undefined
  let content: Buffer
  try {
    content = readFileSync(join(directory, fileName(key)))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  const end = content.indexOf('\n')
  if (end < 0) return undefined // the machine went down before it was on disk
  const head = JSON.parse(content.toString('utf8', 0, end)) as Head
  const { version: of, arch, key: profile, length, ...rest } = head
  const program = content.subarray(end + 1)
  if (of !== version || arch !== process.arch || profile !== key || length !== program.length)
    return undefined
  return { program, ...rest }
}

interface Head extends Omit<CompiledSeccomp, 'program'> {
  version: number
  arch: string
  key: string
  length: number
}

function remember(key: string, compiled: CompiledSeccomp): void {
  const [oldest] = memory.keys()
  if (memory.size >= memoryLimit && oldest !== undefined) memory.delete(oldest)
  memory.set(key, compiled)
}

/** FNV-1a: a name to look under, no more; the content says whose it is. */
function fileName(key: string): string {
  let hash = 0x811c_9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x0100_0193)
  return `${(hash >>> 0).toString(16)}-${key.length}.bpf`
}
