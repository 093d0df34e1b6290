/**
 * The process that shims and launch workers are forked from. It does nothing else: no thread pool, no child processes
 * of libuv's.
 *
 *   supervisor ── {"id":1,"dir":"…","create":true} ──► stdin
 *              ◄── {"id":1,"pid":1234} ─────────────── stdout      (or {"id":1,"error":"…"})
 *   zygote ── {"dir":"…","create":true} ──► shim                     on a socket pair of their own
 *          ◄── "ready" ───────────────────── shim                     its container is deleted: it waits again
 *
 * A few shims are forked before anybody asks, and one launch worker, which listens on a socket that outlives it. A shim
 * that has left its container comes back and waits for another one: it has its own copies already of the pages that it
 * writes to. The end of stdin is the end of the zygote; shims that wait and the worker end with it, and shims at work
 * don't notice.
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
import type { Launcher } from '../worker/launcher.ts'
import { awaitDirectory, readChannel } from './waiting-shim.ts'
import { runLaunchWorker } from '../worker/worker-process.ts'

interface ForkRequest {
  id: number
  dir: string
  create: boolean
}

interface Forked {
  pid: number
  /** Our end of the socket pair. */
  channel: number
  watch: Watch
  /** A shim that has held a container already. */
  used: boolean
}

export interface ZygoteOptions {
  /** How many shims are kept forked. */
  ahead: number
  /** Where launch workers listen; without it shims launch by themselves. */
  listener: number | undefined
  /** What shims have launched by. */
  launcher: Launcher
}

/** Another shim is forked this long after the last one was given away, and another worker after one has ended. */
const refillDelayMs = 50
/**
 * How many shims may wait, and how many of those that have held a container already are kept for how long after the last
 * one came back. Each has more memory of its own than a fresh one; but a fresh one costs the processor many times what
 * one costs that is used again. So a few wait for containers that follow each other, many for the next of a burst.
 */
const mostWaiting = 16
const kept = [
  { afterMs: 1000, most: 3 },
  { afterMs: 5000, most: 0 },
]

export class Zygote {
  readonly #options: ZygoteOptions
  /** Those that wait, and those that may come back. */
  readonly #shims = new Set<Forked>()
  /** The warmest last: that one is given first. */
  readonly #waiting: Forked[] = []
  #worker: Forked | undefined
  #requests: Watch | undefined
  #refill: NodeJS.Timeout | undefined
  #trim: NodeJS.Timeout | undefined
  #unread = ''

  constructor(options: ZygoteOptions) {
    this.#options = options
  }

  serve(): void {
    process.on('SIGCHLD', this.#onChildEnd)
    this.#requests = watchFd(0, { readable: true, hangup: true }, () => this.#onReadable())
    if (this.#refillNow() === 'zygote') reply({ ready: true })
  }

  #onReadable(): void {
    const chunk = readFd(0, 65_536)
    if (chunk === undefined) return
    if (chunk.length === 0) process.exit(0) // the supervisor is gone
    const lines = (this.#unread + chunk.toString()).split('\n')
    this.#unread = lines.pop() ?? ''
    for (const line of lines) if (this.#onRequest(JSON.parse(line) as ForkRequest) === 'child') return
  }

  #onRequest({ id, dir, create }: ForkRequest): 'zygote' | 'child' {
    try {
      for (let given = false; !given;) {
        if (this.#waiting.length === 0 && this.#forkShim() === 'child') return 'child'
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

  /** Returns twice, as every function that forks does: a child must go back to the event loop. */
  #refillNow(): 'zygote' | 'child' {
    if (this.#worker === undefined && this.#forkWorker() === 'child') return 'child'
    while (this.#waiting.length < this.#options.ahead) if (this.#forkShim() === 'child') return 'child'
    return 'zygote'
  }

  #forkShim(): 'zygote' | 'child' {
    const forked = this.#fork((shim) => this.#onShim(shim))
    if (typeof forked === 'number') {
      if (this.#options.listener !== undefined) closeFd(this.#options.listener)
      awaitDirectory(forked, this.#options.launcher)
      return 'child'
    }
    this.#shims.add(forked)
    this.#waiting.unshift(forked)
    return 'zygote'
  }

  #forkWorker(): 'zygote' | 'child' {
    const { listener } = this.#options
    if (listener === undefined) return 'zygote'
    const forked = this.#fork((worker) => this.#onWorker(worker))
    if (typeof forked === 'number') {
      runLaunchWorker(forked, listener)
      return 'child'
    }
    this.#worker = forked
    return 'zygote'
  }

  /** The child, or in the child its end of a socket pair whose end is the end of the zygote. */
  #fork(onReadable: (forked: Forked) => void): Forked | number {
    const [ours, theirs] = socketpair('stream')
    const pid = forkProcess()
    if (pid === 0) {
      closeFd(ours)
      this.#leaveZygote()
      return theirs
    }
    closeFd(theirs)
    const watch = watchFd(ours, { readable: true, hangup: true }, () => onReadable(forked))
    const forked: Forked = { pid, channel: ours, watch, used: false }
    return forked
  }

  /** It waits again, or it has ended. */
  #onShim(shim: Forked): void {
    const message = readChannel(shim.channel)
    if (message === undefined) return
    if (message.length === 0 || this.#waiting.length >= mostWaiting) {
      this.#forget(shim)
      this.#refillLater()
      return
    }
    shim.used = true
    this.#waiting.push(shim)
    this.#trimLater()
  }

  /** It never says anything: what there is to read is its end. */
  #onWorker(worker: Forked): void {
    if (readChannel(worker.channel) === undefined) return
    this.#worker = undefined
    letGo(worker)
    this.#refillLater()
  }

  /** The end of the channel is the end of a shim that waits; a fresh one takes its place. The warmest stay longest. */
  #trimLater(step = 0, waitedMs = 0): void {
    clearTimeout(this.#trim)
    const next = kept[step]
    if (next === undefined) return
    this.#trim = setTimeout(() => {
      const used = this.#waiting.filter((shim) => shim.used)
      for (const shim of used.slice(0, Math.max(0, used.length - next.most))) this.#forget(shim)
      this.#trimLater(step + 1, next.afterMs)
      this.#refillNow()
    }, next.afterMs - waitedMs)
  }

  #forget(shim: Forked): void {
    const index = this.#waiting.indexOf(shim)
    if (index >= 0) this.#waiting.splice(index, 1)
    this.#shims.delete(shim)
    letGo(shim)
  }

  /** In the child: what belongs to the zygote is closed. Its standard streams go when the directory is known. */
  #leaveZygote(): void {
    process.off('SIGCHLD', this.#onChildEnd)
    this.#requests?.close()
    clearTimeout(this.#refill)
    clearTimeout(this.#trim)
    for (const other of [...this.#shims, ...(this.#worker ? [this.#worker] : [])]) letGo(other)
  }

  /** What they held of the zygote's says the rest. */
  readonly #onChildEnd = (): void => void reapChildren()
}

function letGo({ watch, channel }: Forked): void {
  watch.close()
  closeFd(channel)
}

/** false where it has ended in the meantime: its channel says so next. */
function tell(shim: Forked, line: string): boolean {
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
