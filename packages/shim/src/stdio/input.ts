/**
 * A process's standard input. The pipe's write end lies in two places: here, and in flight in a socket that the keeper
 * holds, so that the death of this shim is no end of input. Nobody has to tell the keeper when input does end: taking
 * the descriptor out of the socket closes that copy, whoever holds the socket.
 */
import { hasCode } from '@holdfast/errors'
import {
  closeFd,
  dupCloexec,
  receiveMessage,
  sendMessage,
  setNonblocking,
  socketpair,
  watchFd,
  writeFd,
  type Watch,
} from '@holdfast/core'

/** A socket in which `writeEnd` is in flight, for the keeper. */
export function vaultFor(writeEnd: number): number {
  const [sender, vault] = socketpair('seqpacket')
  try {
    sendMessage(sender, 'stdin', [writeEnd])
  } finally {
    closeFd(sender)
  }
  return vault
}

/** Takes the descriptor in the vault as a duplicate and leaves it there; undefined where input had ended. */
export function peekVault(vault: number): number | undefined {
  return receiveMessage(vault, 16, { peek: true })?.fds[0]
}

interface Waiting {
  bytes: Uint8Array
  done: () => void
}

export class Input {
  #fd: number | undefined
  #vault: number | undefined
  #watch: Watch | undefined
  readonly #waiting: Waiting[] = []
  #ending = false

  /** Takes both descriptors over. Without `fd` everything that is written is discarded. `vault`: absent on a terminal. */
  constructor(fd: number | undefined, vault?: number) {
    if (fd !== undefined) setNonblocking(fd) // a program that doesn't read must not stop the shim
    this.#fd = fd
    this.#vault = vault
  }

  get open(): boolean {
    return this.#fd !== undefined && !this.#ending
  }

  /** Nothing waits to be written. */
  get idle(): boolean {
    return this.#waiting.length === 0
  }

  /** Resolves when the pipe has taken all of it, or nobody reads any more. */
  write(bytes: Uint8Array): Promise<void> {
    if (!this.open || bytes.length === 0) return Promise.resolve()
    return new Promise((done) => {
      this.#waiting.push({ bytes, done })
      if (this.#waiting.length === 1) this.#flush()
    })
  }

  /** End of input, after what waits. On a terminal nothing ends: there, input ends by a control character. */
  end(): void {
    if (!this.open || this.#vault === undefined) return
    this.#ending = true
    if (this.#waiting.length === 0) this.close()
  }

  /** Lets go of every copy at once. */
  close(): void {
    this.#watch?.close()
    this.#watch = undefined
    if (this.#vault !== undefined) {
      for (const fd of receiveMessage(this.#vault, 16)?.fds ?? []) closeFd(fd)
      closeFd(this.#vault)
    }
    if (this.#fd !== undefined) closeFd(this.#fd)
    this.#fd = this.#vault = undefined
    for (const { done } of this.#waiting.splice(0)) done()
  }

  #flush(): void {
    for (let first = this.#waiting[0]; first && this.#fd !== undefined; first = this.#waiting[0]) {
      let taken: number
      try {
        taken = writeFd(this.#fd, first.bytes)
      } catch (error) {
        if (!hasCode(error, 'EPIPE', 'EIO')) throw error
        this.close() // nobody will ever read it
        return
      }
      if (taken < first.bytes.length) {
        first.bytes = first.bytes.subarray(taken)
        this.#waitForRoom(this.#fd)
        return
      }
      this.#waiting.shift()
      first.done()
    }
    this.#watch?.update({})
    if (this.#ending) this.close()
  }

  #waitForRoom(fd: number): void {
    if (this.#watch) this.#watch.update({ writable: true })
    else this.#watch = watchFd(fd, { writable: true }, () => this.#flush())
  }
}

/** A terminal's master for input: another number, since one number can be watched once. */
export function terminalInput(master: number): Input {
  return new Input(dupCloexec(master))
}
