/** Files that are there whole or not at all, whatever dies when; and a full disk by its name. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { threadId } from 'node:worker_threads'
import { HoldfastError, hasCode } from '@holdfast/errors'

let temporaryFiles = 0

/** Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the directory. */
export function writeDurably(path: string, data: string | Buffer): void {
  const temporary = `${path}.${process.pid}-${threadId}-${temporaryFiles++}.tmp`
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    writeFileSync(fd, data)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameDurably(temporary, path)
}

/** rename(2), on disk when it returns. What `from` holds has to be synced before. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to)
  syncDirectory(dirname(to))
}

export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** The same error, or HF_DISK_FULL where it is about room. */
export function nameDiskFull(error: unknown, root: string): unknown {
  if (!hasCode(error, 'ENOSPC', 'EDQUOT')) return error
  return new HoldfastError('HF_DISK_FULL', `no space left on the file system of ${root}`, {
    hint: 'Remove images or containers that are not needed, or make the file system larger, and try again.',
    details: { path: root },
    cause: error,
  })
}

/** Everything written to the file system of `path` so far is on disk when this returns. It may take seconds. */
export function syncFileSystem(path: string): void {
  // Node has no syncfs(2); coreutils' and busybox's sync do.
  const { error, status, stderr } = spawnSync('sync', ['-f', path], {
    env: { PATH: systemPath },
    encoding: 'utf8',
  })
  if (error) throw error
  if (status !== 0) throw new Error(`sync -f ${path}: ${stderr.trim()}`)
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
