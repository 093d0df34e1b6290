import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { flock } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { Flags } from './flags.ts'

export interface InstanceLock extends Disposable {
  /** The pidfile says that the service is ready. */
  writePid(): void
}

/** One process at a time works on a data root and an exec root. The kernel lets go when that process ends. */
export function lockInstance({ dataRoot, execRoot, pidfile }: Flags): InstanceLock {
  const fds: number[] = []
  let wrotePid = false
  const release = (): void => {
    if (wrotePid && readPid(pidfile) === process.pid) rmSync(pidfile, { force: true })
    for (const fd of fds) closeSync(fd)
  }
  try {
    for (const root of [dataRoot, execRoot]) fds.push(lockRoot(root))
  } catch (error) {
    release()
    throw error
  }
  return {
    writePid: () => {
      mkdirSync(dirname(pidfile), { recursive: true })
      writeFileSync(pidfile, `${process.pid}\n`)
      chmodSync(pidfile, 0o644)
      wrotePid = true
    },
    [Symbol.dispose]: release,
  }
}

function lockRoot(root: string): number {
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const fd = openSync(join(root, 'lock'), 'w', 0o600)
  if (flock(fd, 'exclusive', { wait: false })) return fd
  closeSync(fd)
  throw new HoldfastError('HF_BAD_REQUEST', `another supervisor uses ${root}`, {
    hint: 'End it first, or give this one an instance of its own: --instance NAME.',
    details: { root },
  })
}

function readPid(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch {
    return 0
  }
}
