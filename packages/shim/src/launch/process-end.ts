/** Waits for the end of a launched process, and finds out how it ended. */
import {
  closeFd,
  pidfdInfo,
  pidfdReap,
  pidfdReaped,
  receiveMessage,
  watchFd,
  type ProcessExit,
} from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import type { ExitRecord } from '@holdfast/protocol'
import { nowRfc3339 } from '../clock.ts'
import { closeLater } from '../close-later.ts'
import type { KeeperHandle, ProcessHandle } from './launched.ts'
import { sleep } from '../sleep.ts'
import { readExitRecord } from '../state-file.ts'

/** How often a zombie is looked at where nothing says that it was reaped: this long after the end, then twice as long. */
const firstLookMs = 1
const longestLookMs = 64

/** A keeper that has told of the end takes some time to end itself; whoever waits for the process need not wait for that. */
const reapAfterMs = 5

/** As a keeper writes it: whether a process has ended, and how, is its keeper's to say. */
export type EndRecord = Omit<ExitRecord, 'oomKilled'>
/** Bytes of such a record. */
const maxRecord = 1024

/**
 * Resolves when the process has ended, with the keeper's record where that has told of it: it then ends by itself, and
 * is reaped. Closes the channel. Else the process may still be a zombie, and `keeperEnd` is to be waited for.
 */
export async function processEnd(
  init: ProcessHandle | undefined,
  keeper: KeeperHandle | undefined,
): Promise<EndRecord | undefined> {
  if (keeper?.word !== undefined) {
    await readable(keeper.word)
    const { word, pidfd } = keeper
    const record = receiveRecord(word)
    // Whoever waits for the end is told of it first.
    setImmediate(() => {
      closeLater(word)
      if (record === undefined) return
      if (init) closeLater(init.pidfd)
      reapLater(pidfd)
    })
    if (record !== undefined) return record
  }
  if (init) await readable(init.pidfd)
  return undefined
}

/** Undefined where the keeper was killed; before it had read that it was entrusted, the kernel calls that a reset. */
function receiveRecord(word: number): EndRecord | undefined {
  try {
    const text = receiveMessage(word, maxRecord)?.data.toString('latin1')
    return text ? (JSON.parse(text) as EndRecord) : undefined
  } catch (error) {
    if (!hasCode(error, 'ECONNRESET')) throw error
    return undefined
  }
}

const leaving = new Set<Promise<void>>()

function reapLater(keeper: number): void {
  const reaped = new Promise((resolve) => setTimeout(resolve, reapAfterMs))
    .then(() => (pidfdReap(keeper) ? closeFd(keeper) : readable(keeper).then(() => reap(keeper))))
    .finally(() => leaving.delete(reaped))
  leaving.add(reaped)
}

/** Resolves when every keeper that has told of an end has ended too, and this process holds nothing of it. */
export async function keepersReaped(): Promise<void> {
  await Promise.all(leaving)
}

/**
 * Resolves when the keeper has ended: it has reaped its process and written its record, and the output was read. Closes
 * its pidfd. `giveUp` ends the waiting for one that sits on output which a stranger goes on writing; its record has been
 * written, and it is reaped when it does end, as long as this process lives.
 */
export async function keeperEnd(keeper: KeeperHandle | undefined, giveUp: Promise<void>): Promise<void> {
  if (!keeper) return
  const ended = readable(keeper.pidfd).then(() => reap(keeper.pidfd))
  await Promise.race([ended, giveUp])
}

/**
 * How the process ended: the keeper's record. Where the keeper was killed the kernel may have told (PIDFD_GET_INFO) whom
 * somebody has reaped; else the exit code is null. Closes init's pidfd.
 */
export async function endRecord(recordPath: string, init: ProcessHandle | undefined): Promise<EndRecord> {
  const known = readExitRecord(recordPath)
  if (known !== undefined || !init) {
    if (init) closeFd(init.pidfd)
    return known ?? { ...exitFields(undefined), finishedAt: nowRfc3339() }
  }
  await reaped(init.pidfd)
  const exit = pidfdInfo(init.pidfd)?.exit
  closeFd(init.pidfd)
  // It may have been written since: the keeper reaps first.
  return readExitRecord(recordPath) ?? { ...exitFields(exit), finishedAt: nowRfc3339() }
}

/** A pidfd hangs up once its process was reaped; before Linux 6.9 nothing says so, and one has to look. */
async function reaped(pidfd: number): Promise<void> {
  if (pidfdReaped(pidfd)) return
  const hungUp = Promise.withResolvers<void>()
  const watch = watchFd(pidfd, { hangup: true }, () => {
    watch.close()
    hungUp.resolve()
  })
  for (let waitMs = firstLookMs; !pidfdReaped(pidfd); waitMs = Math.min(2 * waitMs, longestLookMs))
    await Promise.race([hungUp.promise, sleep(waitMs)])
  watch.close()
}

function readable(fd: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchFd(fd, { readable: true, hangup: true }, () => {
      watch.close()
      resolve()
    })
  })
}

/** The keeper is the child of the process that launched it, and of nobody else who waits for its end. */
export function reap(pidfd: number): void {
  try {
    pidfdReap(pidfd)
  } finally {
    closeFd(pidfd)
  }
}

function exitFields(exit: ProcessExit | undefined): Pick<ExitRecord, 'exitCode' | 'signal'> {
  if (!exit) return { exitCode: null, signal: null }
  if (exit.signal !== undefined) return { exitCode: 128 + exit.signal, signal: exit.signal }
  return { exitCode: exit.exitCode, signal: null }
}
