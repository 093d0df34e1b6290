/** prctl(2): properties of this process or, where it says so, of the calling thread. */
import { checkInteger, checkPath } from './argument.ts'
import { addon, check } from './native.ts'

const native = addon as {
  prctl(option: number, argument: number): number
  setProcessName(name: string): number
}

const PR_GET_DUMPABLE = 3
const PR_SET_DUMPABLE = 4
const PR_SET_CHILD_SUBREAPER = 36
const PR_SET_NO_NEW_PRIVS = 38
const PR_GET_NO_NEW_PRIVS = 39
const PR_GET_CHILD_SUBREAPER = 37

/** Orphaned descendants become this process's children, and it must reap them. */
export function setChildSubreaper(on = true): void {
  check(native.prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0), 'prctl(PR_SET_CHILD_SUBREAPER)')
}

/** PR_GET_CHILD_SUBREAPER. */
export function isChildSubreaper(): boolean {
  return check(native.prctl(PR_GET_CHILD_SUBREAPER, 0), 'prctl(PR_GET_CHILD_SUBREAPER)') === 1
}

/** Without it: no core dump, and /proc/PID belongs to root and can't be traced without CAP_SYS_PTRACE. */
export function setDumpable(on: boolean): void {
  check(native.prctl(PR_SET_DUMPABLE, on ? 1 : 0), 'prctl(PR_SET_DUMPABLE)')
}

/** PR_GET_DUMPABLE. */
export function isDumpable(): boolean {
  return check(native.prctl(PR_GET_DUMPABLE, 0), 'prctl(PR_GET_DUMPABLE)') === 1
}

/** The calling thread and what it starts gain no rights by execve(2) any more; it can't be taken back. */
export function setNoNewPrivs(): void {
  check(native.prctl(PR_SET_NO_NEW_PRIVS, 1), 'prctl(PR_SET_NO_NEW_PRIVS)')
}

/** PR_GET_NO_NEW_PRIVS, of the calling thread. */
export function hasNoNewPrivs(): boolean {
  return check(native.prctl(PR_GET_NO_NEW_PRIVS, 0), 'prctl(PR_GET_NO_NEW_PRIVS)') === 1
}

/** The name in /proc/PID/comm, of which the kernel keeps 15 bytes. `process.title` sets what `ps` shows. */
export function setProcessName(name: string): void {
  checkInteger(Buffer.byteLength(checkPath(name, 'name')), 'length of name', 1, 15)
  check(native.setProcessName(name), 'prctl(PR_SET_NAME)')
}
