/** Pseudo terminals: ptmx(4), TIOCGPTPEER (Linux 4.13), window sizes. */
import { checkFd, checkInteger } from './argument.ts'
import { addon, check } from './native.ts'

const native = addon as {
  openPty(out: Int32Array): number
  setWindowSize(fd: number, rows: number, cols: number): number
  getWindowSize(fd: number, out: Int32Array): number
  passOutputThrough(fd: number): number
}

/** Both sides of a pseudoterminal, pty(7): descriptors, the caller's to close. */
export interface Pty {
  master: number
  /** The other side, opened through the master and so not by a name that could lead elsewhere. */
  peer: number
  /** N of /dev/pts/N. */
  index: number
}

/** A new pair from /dev/ptmx, unlocked; neither becomes the controlling terminal. */
export function openPty(): Pty {
  const out = new Int32Array(3)
  check(native.openPty(out), 'open', { path: '/dev/ptmx' })
  return { master: out[0]!, peer: out[1]!, index: out[2]! }
}

/** In characters. */
export interface WindowSize {
  rows: number
  cols: number
}

/** The foreground process group gets SIGWINCH where the size changes. */
export function setWindowSize(fd: number, rows: number, cols: number): void {
  checkInteger(rows, 'rows', 0, 0xffff)
  checkInteger(cols, 'cols', 0, 0xffff)
  check(native.setWindowSize(checkFd(fd), rows, cols), 'ioctl(TIOCSWINSZ)')
}

/** ioctl TIOCGWINSZ, ioctl_tty(2). */
export function getWindowSize(fd: number): WindowSize {
  const out = new Int32Array(2)
  check(native.getWindowSize(checkFd(fd), out), 'ioctl(TIOCGWINSZ)')
  return { rows: out[0]!, cols: out[1]! }
}

/**
 * Clears OPOST: the terminal shows what it is given, byte for byte. Node's raw mode leaves output processing on, and a
 * program behind another terminal, which has processed its output already, would have its line feeds turned into
 * carriage returns too. Waits for output that is under way; setRawMode(false) brings the former settings back.
 */
export function passOutputThrough(fd: number): void {
  check(native.passOutputThrough(checkFd(fd)), 'tcsetattr')
}
