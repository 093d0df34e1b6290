/**
 * What the launcher tells on its report channel: a SOCK_SEQPACKET pair, one packet each (`launcher/report.c`).
 *
 *   u32 type, u32 step, i64 value, then for an error: system call NUL detail NUL; a descriptor by SCM_RIGHTS
 *
 * The channel ends (the peer hangs up) when the program was executed or every launching process is gone.
 */
import { HoldfastError } from '@holdfast/errors'
import { receiveMessage } from './socket.ts'

/** What the launcher says on its channel; drawn in launcher/report.c. */
export type LaunchReport =
  /** A step failed; `errno` is positive. */
  | { kind: 'error'; step: number; errno: number; syscall: string; detail: string }
  /** The init exists. */
  | { kind: 'born'; pid: number; pidfd: number }
  /** The launcher waits for `answerLaunch`. */
  | { kind: 'sync' }
  /** At the door: waits for `answerLaunch`, then executes the program. */
  | { kind: 'ready' }
  /** The master of the new pty. */
  | { kind: 'console'; fd: number }
  /** The number that the seccomp notification descriptor has in the init: `pidfdGetfd` fetches it. */
  | { kind: 'listener'; number: number }
  /** The channel has ended. */
  | { kind: 'end' }

const maxPacket = 1024

/** The next report; undefined where there is none yet. Descriptors in it are the caller's. */
export function receiveReport(channel: number): LaunchReport | undefined {
  const message = receiveMessage(channel, maxPacket)
  if (message === undefined) return undefined
  const { data, fds } = message
  if (data.length === 0) return { kind: 'end' }
  if (data.length < 16) throw malformed()
  const value = Number(data.readBigInt64LE(8))
  const fd = (): number => fds[0] ?? raise(malformed())
  switch (data.readUInt32LE(0)) {
    case 1: {
      const [syscall = '', detail = ''] = data.toString('utf8', 16).split('\0')
      return { kind: 'error', step: data.readUInt32LE(4), errno: value, syscall, detail }
    }
    case 2:
      return { kind: 'born', pid: value, pidfd: fd() }
    case 3:
      return { kind: 'sync' }
    case 4:
      return { kind: 'ready' }
    case 5:
      return { kind: 'console', fd: fd() }
    case 6:
      return { kind: 'listener', number: value }
    default:
      throw malformed()
  }
}

function malformed(): HoldfastError {
  return new HoldfastError('HF_INTERNAL', 'the launcher sent a malformed report')
}

function raise(error: Error): never {
  throw error
}
