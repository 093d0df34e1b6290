/** Process descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2), PIDFD_GET_INFO. */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { checkFd, checkInteger, checkPid, bad } from './argument.ts'
import { addon, check, errnoName } from './native.ts'

/** signal(7). */
export const SIGKILL = 9

const native = addon as {
  pidfdOpen(pid: number, flags: number): number
  pidfdSendSignal(pidfd: number, signal: number): number
  pidfdGetfd(pidfd: number, fd: number): number
  pidfdWait(pidfd: number, out: Int32Array): number
  pidfdInfo(pidfd: number, mask: number, out: BigInt64Array): number
  processStat(pid: number, out: Int32Array): number
  reapChild(out: Int32Array): number
}

/** How a process ended: by exit(2) with a code, or by a signal's number. */
export type ProcessExit = { exitCode: number; signal?: undefined } | { exitCode?: undefined; signal: number }

/** pidfd_open(2): the process that has this number in our pid namespace now. ESRCH where there is none. */
export function pidfdOpen(pid: number): number {
  return check(native.pidfdOpen(checkPid(pid), 0), 'pidfd_open', { path: String(pid) })
}

const pidKey = 'Pid:\t'

/** The process's number in our pid namespace, as /proc/self/fdinfo has it. ESRCH once it was reaped. */
export function pidOfPidfd(pidfd: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${checkFd(pidfd, 'pidfd')}`, 'latin1')
  // Without a regular expression: each fork of a zygote would compile it in memory of its own.
  const pid = info
    .split('\n')
    .find((line) => line.startsWith(pidKey))
    ?.slice(pidKey.length)
  if (pid === undefined) throw bad('pidfd', 'is no pidfd')
  return Number(pid) > 0 ? Number(pid) : check(-constants.errno.ESRCH, 'pidfd')
}

/** `signal` by number or name; 0 tests whether the process is still there (ESRCH once it was reaped). */
export function pidfdSendSignal(pidfd: number, signal: number | NodeJS.Signals): void {
  const number =
    typeof signal === 'number' ? checkInteger(signal, 'signal', 0, 64) : constants.signals[signal]
  if (number === undefined) throw bad('signal', `is unknown: ${String(signal)}`)
  check(native.pidfdSendSignal(checkFd(pidfd, 'pidfd'), number), 'pidfd_send_signal')
}

/** Whether the process was reaped. */
export function pidfdReaped(pidfd: number): boolean {
  const result = native.pidfdSendSignal(checkFd(pidfd, 'pidfd'), 0)
  if (result < 0 && errnoName(-result) === 'ESRCH') return true
  check(result, 'pidfd_send_signal')
  return false
}

/** A duplicate of descriptor `fd` of that process; the same rights as ptrace(2) are needed. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return check(native.pidfdGetfd(checkFd(pidfd, 'pidfd'), checkFd(fd)), 'pidfd_getfd')
}

/**
 * Reaps the child behind a pidfd. Undefined while it runs; ECHILD where it is no child of ours, or was reaped.
 * `pidfd` must have been opened before the child can have been reaped.
 */
export function pidfdWait(pidfd: number): ProcessExit | undefined {
  const out = new Int32Array(2)
  const pid = check(native.pidfdWait(checkFd(pidfd, 'pidfd'), out), 'waitid')
  return pid === 0 ? undefined : exitOf(out)
}

/** Reaps what has ended where it is a child of ours, and leaves it to its parent where not. False: a child that runs. */
export function pidfdReap(pidfd: number): boolean {
  const result = native.pidfdWait(checkFd(pidfd, 'pidfd'), new Int32Array(2))
  if (result < 0 && errnoName(-result) !== 'ECHILD') check(result, 'waitid')
  return result !== 0
}

/** Each child that has ended, by pid. For a process that starts children by no other means: it takes any. */
export function reapChildren(): { pid: number; exit: ProcessExit }[] {
  const reaped: { pid: number; exit: ProcessExit }[] = []
  const out = new Int32Array(2)
  for (;;) {
    const pid = native.reapChild(out)
    if (pid === 0 || (pid < 0 && errnoName(-pid) === 'ECHILD')) return reaped
    reaped.push({ pid: check(pid, 'waitid'), exit: exitOf(out) })
  }
}

const CLD_EXITED = 1

function exitOf(out: Int32Array): ProcessExit {
  return out[0] === CLD_EXITED ? { exitCode: out[1]! } : { signal: out[1]! }
}

/** ioctl PIDFD_GET_INFO, Linux 6.13. */
export interface PidfdInfo {
  pid: number
  tgid: number
  ppid: number
  /** Real ids. */
  uid: number
  gid: number
  cgroupId: bigint | undefined
  /** Of a process that was reaped, by anyone (Linux 6.15; the pidfd must have been opened before). */
  exit: ProcessExit | undefined
}

const PIDFD_INFO_CGROUPID = 4n
const PIDFD_INFO_EXIT = 8n

/** PIDFD_GET_INFO. Undefined where this kernel does not know it (before 6.13), or the process is gone without a trace. */
export function pidfdInfo(pidfd: number): PidfdInfo | undefined {
  const out = new BigInt64Array(9)
  const result = native.pidfdInfo(checkFd(pidfd, 'pidfd'), 0xf, out)
  if (result < 0) {
    if (['ENOTTY', 'EINVAL', 'ESRCH'].includes(errnoName(-result))) return undefined
    check(result, 'ioctl(PIDFD_GET_INFO)')
  }
  const mask = out[0]!
  return {
    pid: Number(out[1]!),
    tgid: Number(out[2]!),
    ppid: Number(out[3]!),
    uid: Number(out[4]!),
    gid: Number(out[5]!),
    cgroupId: (mask & PIDFD_INFO_CGROUPID) === 0n ? undefined : BigInt.asUintN(64, out[6]!),
    exit: (mask & PIDFD_INFO_EXIT) === 0n ? undefined : exitOfStatus(Number(out[7]!)),
  }
}

/** A wait status as wait(2) packs it. */
export function exitOfStatus(status: number): ProcessExit {
  const signal = status & 0x7f
  return signal === 0 ? { exitCode: (status >> 8) & 0xff } : { signal }
}

/** proc_pid_stat(5), in part. */
export interface ProcessStat {
  /** A letter of proc_pid_stat(5): `Z` is a zombie, and `X` one that is being reaped. */
  state: string
  /** In clock ticks since boot: with the pid it names one process until the next boot. */
  startTime: bigint
}

const stateLetter = new Int32Array(1)

/** Fields 3 and 22 of /proc/PID/stat; undefined where there is no such process. */
export function processStat(pid: number): ProcessStat | undefined {
  const time = native.processStat(checkPid(pid), stateLetter)
  if (time < 0 && ['ENOENT', 'ESRCH'].includes(errnoName(-time))) return undefined
  const startTime = BigInt(check(time, 'open', { path: `/proc/${pid}/stat` }))
  return { state: String.fromCharCode(stateLetter[0]!), startTime }
}

/** When a process started; a zombie too has a time. Undefined where there is none. */
export function processStartTime(pid: number): bigint | undefined {
  return processStat(pid)?.startTime
}
