/** Files that are there whole or not at all, whatever dies when. */
import { spawnSync } from 'node:child_process'
import { renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { threadId } from 'node:worker_threads'
import { replaceFile, syncDirectory } from '@holdfast/core'

/** On disk when it returns. The service and its worker may write one file at once: the temporary one has a name for each. */
export function writeDurably(path: string, data: string | Buffer): void {
  replaceFile(path, data, { sync: 'name', temporary: `${path}.${process.pid}-${threadId}.tmp` })
}

/** rename(2), on disk when it returns. What `from` holds has to be synced before. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to)
  syncDirectory(dirname(to))
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
