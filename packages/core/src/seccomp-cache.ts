/**
 * Compiled filters by their profile: in memory, and in a directory that outlives the process where it is given one.
 * A file is named by the digest of the profile, and has one line of JSON and then the program.
 *
 * This lies on the way of every container's start in a process that has just begun, where JavaScript is slow: the
 * work on a profile's ten thousand characters is left to native code.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import { replaceFile } from './replace-file.ts'
import type { CompiledSeccomp } from './seccomp.ts'

const memory = new Map<string, CompiledSeccomp>()
const memoryLimit = 64
let directory: string | undefined

/** Changes whenever the same profile compiles to something else. */
const version = 2

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
  const head: Head = { ...rest, length: program.length }
  const path = fileOf(directory, key)
  try {
    const content = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), program])
    replaceFile(path, content, { temporary: `${path}.${process.pid}` })
  } catch (error) {
    // A full disk or a directory that was removed costs time, not the filter.
    if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'ENOENT', 'EROFS')) throw error
  }
}

interface Head extends Omit<CompiledSeccomp, 'program'> {
  length: number
}

function readCompiled(key: string): CompiledSeccomp | undefined {
  if (directory === undefined) return undefined
  let content: Buffer
  try {
    content = readFileSync(fileOf(directory, key))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  const end = content.indexOf('\n')
  if (end < 0) return undefined // the machine went down before it was on disk
  const { length, ...rest } = JSON.parse(content.toString('utf8', 0, end)) as Head
  const program = content.subarray(end + 1)
  return length === program.length ? { program, ...rest } : undefined
}

function fileOf(path: string, key: string): string {
  // Not imported: node:crypto takes milliseconds to load, and only who keeps files needs it.
  const digest = process.getBuiltinModule('node:crypto').hash('sha256', `${version} ${process.arch} ${key}`)
  return join(path, `${digest}.bpf`)
}

function remember(key: string, compiled: CompiledSeccomp): void {
  const [oldest] = memory.keys()
  if (memory.size >= memoryLimit && oldest !== undefined) memory.delete(oldest)
  memory.set(key, compiled)
}
