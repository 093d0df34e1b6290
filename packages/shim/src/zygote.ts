/**
 * The process that shims are forked from. It does nothing else: no thread pool, no child processes of libuv's.
 *
 *   supervisor ── {"id":1,"dir":"…","create":true} ──► stdin
 *              ◄── {"id":1,"pid":1234} ─────────────── stdout      (or {"id":1,"error":"…"})
 *   zygote ── {"dir":"…","create":true} ──► shim                     on a socket pair of their own
 *          ◄── "ready" ───────────────────── shim                     its container is deleted: it waits again
 *
 * A few shims are forked before anybody asks. One that has left its container comes back and waits for another: it
 * has its own copies of the pages that it writes to, and its code is warm, so that a second container costs less than
 * the first. The end of stdin is the end of the zygote; shims that wait end with it, and those at work don't notice.
 */
import {
  closeFd,
  forkProcess,
  readFd,
  reapChildren,
  socketpair,
  watchFd,
  writeFd,
  type Watch,
} from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { errorToJson } from '@holdfast/protocol'
import { awaitDirectory, readChannel } from './waiting-shim.ts'

interface ForkRequest {
  id: number
  dir: string
  create: boolean
}

interface ForkedShim {
  pid: number
  /** Our end of the socket pair. */
  channel: number
  watch: Watch
  /** It has held a container already. */
  used: boolean
}

/** Another shim is forked this long after the last one was given away, unless one has come back. */
const refillDelayMs = 50
/**
 * How many may wait, and how long those that have held a container already are kept: each has three times the memory
 * of a fresh one, which is worth its while only as long as containers come one after the other.
 */
const mostWaiting = 3
const keptMs = 1000

export class Zygote {
  readonly #ahead: number
  readonly #shims = new Set<ForkedShim>()
  /** The warmest last: that one is given first. */
  readonly #waiting: ForkedShim[] = []
  #requests: Watch | undefined
  #refill: NodeJS.Timeout | undefined
  #trim: NodeJS.Timeout | undefined
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
      for (let given = false; !given;) {
        if (this.#waiting.length === 0 && this.#forkWaiting() === 'shim') return 'shim'
        const shim = this.#waiting.pop()!
        given = tell(shim, JSON.stringify({ dir, create }) + '\n')
        if (given) reply({ id, pid: shim.pid })
      }
    } catch (error) {
      reply({ id, error: errorToJson(error).message })
    }
    this.#refillLater()
    return 'zygote'
  }

  #refillLater(): void {
    clearTimeout(this.#refill)
    this.#refill = setTimeout(() => this.#refillNow(), refillDelayMs)
  }

  #refillNow(): void {
    while (this.#waiting.length < this.#ahead) if (this.#forkWaiting() === 'shim') return
  }

  /** Returns twice: in the zygote with one more shim waiting, and in the shim, which must go back to the event loop. */
  #forkWaiting(): 'zygote' | 'shim' {
    const [ours, theirs] = socketpair('stream')
    const pid = forkProcess()
    if (pid === 0) {
      closeFd(ours)
      this.#leaveZygote()
      awaitDirectory(theirs)
      return 'shim'
    }
    closeFd(theirs)
    const watch = watchFd(ours, { readable: true, hangup: true }, () => this.#onShim(shim))
    const shim: ForkedShim = { pid, channel: ours, watch, used: false }
    this.#shims.add(shim)
    this.#waiting.unshift(shim)
    return 'zygote'
  }

  /** It waits again, or it has ended. */
  #onShim(shim: ForkedShim): void {
    const message = readChannel(shim.channel)
    if (message === undefined) return
    if (message.length === 0 || this.#waiting.length >= mostWaiting) {
      this.#forget(shim)
      return
    }
    shim.used = true
    this.#waiting.push(shim)
    clearTimeout(this.#trim)
    this.#trim = setTimeout(() => this.#trimNow(), keptMs)
  }

  /** The end of the channel is the end of a shim that waits; a fresh one takes its place. */
  #trimNow(): void {
    for (const shim of this.#waiting.filter(({ used }) => used)) this.#forget(shim)
    this.#refillNow()
  }

  #forget(shim: ForkedShim): void {
    shim.watch.close()
    closeFd(shim.channel)
    this.#shims.delete(shim)
    const index = this.#waiting.indexOf(shim)
    if (index >= 0) this.#waiting.splice(index, 1)
  }

  /** In the child: what belongs to the zygote is closed. Its standard streams go when the directory is known. */
  #leaveZygote(): void {
    process.off('SIGCHLD', this.#onChildEnd)
    this.#requests?.close()
    clearTimeout(this.#refill)
    clearTimeout(this.#trim)
    for (const shim of this.#shims) this.#forget(shim)
  }

  readonly #onChildEnd = (): void => {
    reapChildren() // what they held of the zygote's says the rest
    if (this.#waiting.length < this.#ahead) this.#refillLater()
  }
}

/** false where it has ended in the meantime: its channel says so next. */
function tell(shim: ForkedShim, line: string): boolean {
  try {
    return writeFd(shim.channel, line) > 0
  } catch (error) {
    if (hasCode(error, 'EPIPE', 'ECONNRESET')) return false
    throw error
  }
}

/** Written at once and whole: an answer is far shorter than PIPE_BUF. */
function reply(message: object): void {
  writeFd(1, JSON.stringify(message) + '\n')
}
