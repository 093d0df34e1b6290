/**
 * The process that shims are forked from. It does nothing else: no thread pool, no child processes of libuv's.
 *
 *   supervisor ── {"id":1,"dir":"…","create":true} ──► stdin
 *              ◄── {"id":1,"pid":1234} ─────────────── stdout      (or {"id":1,"error":"…"})
 *
 * A few shims are forked before anybody asks: each waits on a pipe for its directory, and ends when the zygote ends
 * without having told it one. The end of stdin is the end of the zygote, and touches no shim that has a directory.
 */
import {
  closeFd,
  forkProcess,
  pipe2,
  readFd,
  reapChildren,
  watchFd,
  writeFd,
  type Watch,
} from '@holdfast/core'
import { errorToJson } from '@holdfast/protocol'
import { adoptStandardStreams, runShim } from './shim-process.ts'

interface ForkRequest {
  id: number
  dir: string
  create: boolean
}

interface WaitingShim {
  pid: number
  /** Its directory is written here. */
  pipe: number
}

/** Another shim is forked this long after one was given away: its caller's create comes first. */
const refillDelayMs = 25

export class Zygote {
  readonly #ahead: number
  readonly #waiting: WaitingShim[] = []
  #requests: Watch | undefined
  #refill: NodeJS.Timeout | undefined
  #unread = ''

  /** `ahead`: how many shims are kept forked. */
  constructor(ahead: number) {
    this.#ahead = ahead
  }

  serve(): void {
    process.on('SIGCHLD', this.#onChildEnd)
    this.#requests = watchFd(0, { readable: true, hangup: true }, () => this.#onReadable())
    while (this.#waiting.length < this.#ahead) if (this.#forkWaiting() === 'shim') return
    reply({ ready: true })
  }

  #onReadable(): void {
    const chunk = readFd(0, 65_536)
    if (chunk === undefined) return
    if (chunk.length === 0) process.exit(0) // the supervisor is gone
    const lines = (this.#unread + chunk.toString()).split('\n')
    this.#unread = lines.pop() ?? ''
    for (const line of lines) if (this.#onRequest(JSON.parse(line) as ForkRequest) === 'shim') return
  }

  #onRequest({ id, dir, create }: ForkRequest): 'zygote' | 'shim' {
    try {
      if (this.#waiting.length === 0 && this.#forkWaiting() === 'shim') return 'shim'
      const shim = this.#waiting.shift()!
      writeFd(shim.pipe, JSON.stringify({ dir, create }) + '\n')
      closeFd(shim.pipe)
      reply({ id, pid: shim.pid })
    } catch (error) {
      reply({ id, error: errorToJson(error).message })
    }
    this.#refill ??= setTimeout(() => this.#refillNow(), refillDelayMs)
    return 'zygote'
  }

  #refillNow(): void {
    this.#refill = undefined
    while (this.#waiting.length < this.#ahead) if (this.#forkWaiting() === 'shim') return
  }

  /** Returns twice: in the zygote with one more shim waiting, and in the shim, which must go back to the event loop. */
  #forkWaiting(): 'zygote' | 'shim' {
    const pipe = pipe2()
    const pid = forkProcess()
    if (pid !== 0) {
      closeFd(pipe.read)
      this.#waiting.push({ pid, pipe: pipe.write })
      return 'zygote'
    }
    closeFd(pipe.write)
    this.#leaveZygote()
    awaitDirectory(pipe.read)
    return 'shim'
  }

  /** In the child: what belongs to the zygote is closed. Its standard streams go when the directory is known. */
  #leaveZygote(): void {
    process.off('SIGCHLD', this.#onChildEnd)
    this.#requests?.close()
    clearTimeout(this.#refill)
    for (const { pipe } of this.#waiting) closeFd(pipe)
    this.#waiting.length = 0
    process.title = 'holdfast: shim (waiting)'
  }

  readonly #onChildEnd = (): void => {
    for (const { pid } of reapChildren()) {
      const index = this.#waiting.findIndex((each) => each.pid === pid)
      if (index < 0) continue
      // It was killed before it had a directory.
      closeFd(this.#waiting[index]!.pipe)
      this.#waiting.splice(index, 1)
      this.#refill ??= setTimeout(() => this.#refillNow(), refillDelayMs)
    }
  }
}

function awaitDirectory(pipe: number): void {
  const watch = watchFd(pipe, { readable: true, hangup: true }, () => {
    const line = readFd(pipe, 65_536)
    if (line === undefined) return
    if (line.length === 0) process.exit(0) // the zygote is gone, and nobody needs this shim
    watch.close()
    closeFd(pipe)
    const { dir, create } = JSON.parse(line.toString()) as Omit<ForkRequest, 'id'>
    try {
      adoptStandardStreams(dir)
    } catch {
      // The directory is gone: who asked for a shim was killed, and what it had begun was undone. There is nobody to
      // tell, and an uncaught exception would hang: Node's own way out joins threads that a forked child doesn't have.
      process.exit(1)
    }
    runShim({ dir, create })
  })
}

/** Written at once and whole: an answer is far shorter than PIPE_BUF. */
function reply(message: object): void {
  writeFd(1, JSON.stringify(message) + '\n')
}
