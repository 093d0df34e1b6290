import type { WebSocket } from 'ws'

/** How often one who owes an answer is looked at, and for how many looks it may be silent: 20 seconds. */
const lookMs = 5_000
const silentLooks = 4

/**
 * Finds out that a shim hangs: something is asked of it, and it doesn't even answer the pings that ws answers by itself. A
 * machine that is busy makes one late by seconds, so patience is long.
 */
export class SilenceWatch {
  readonly #socket: Pick<WebSocket, 'ping' | 'on'>
  readonly #onSilence: () => void
  #timer: NodeJS.Timeout | undefined
  #looks = 0

  constructor(socket: Pick<WebSocket, 'ping' | 'on'>, onSilence: () => void) {
    this.#socket = socket
    this.#onSilence = onSilence
    socket.on('pong', () => this.heard())
  }

  /** It owes an answer from now on. */
  begin(): void {
    if (this.#timer) return
    this.#looks = 0
    this.#timer = setInterval(() => this.#look(), lookMs).unref()
  }

  heard(): void {
    this.#looks = 0
  }

  /** It owes none any more. */
  end(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    if (this.#looks++ < silentLooks) {
      this.#socket.ping()
      return
    }
    this.end()
    this.#onSilence()
  }
}
