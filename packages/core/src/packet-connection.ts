/** One end of a SOCK_SEQPACKET connection: packets with descriptors, the first byte of each saying what it is. */
import { hasCode } from '@holdfast/errors'
import { closeFd } from './descriptor.ts'
import { memfdCreate } from './memfd.ts'
import { receiveMessage, sendMessage } from './socket.ts'
import { watchFd } from './watch.ts'

/** One packet, taken apart. */
export interface Packet {
  /** The first byte. */
  kind: string
  body: Buffer
  /** The receiver's to close. */
  fds: number[]
}

const maxPacket = 8192

/** Takes over `fd`, a connected SOCK_SEQPACKET socket. */
export class PacketConnection {
  readonly #fd: number
  /** Until the other end was seen to be gone, or it was closed here. */
  open = true
  #stopWaiting: (() => void) | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  /** The next packet; undefined once the other end has gone. For one caller at a time. */
  async receive(): Promise<Packet | undefined> {
    while (this.open) {
      const message = this.#read()
      if (message === undefined) {
        await this.#readable()
        continue
      }
      if (message.data.length === 0) {
        this.open = false
        return undefined
      }
      return { kind: message.data.toString('latin1', 0, 1), body: message.data.subarray(1), fds: message.fds }
    }
    return undefined
  }

  /** False where nobody listens any more. */
  send(kind: string, body: Uint8Array | string = '', fds: readonly number[] = []): boolean {
    const packet = Buffer.concat([Buffer.from(kind), typeof body === 'string' ? Buffer.from(body) : body])
    try {
      return sendMessage(this.#fd, packet, fds) !== undefined
    } catch (error) {
      if (hasCode(error, 'EPIPE', 'ECONNRESET')) return false
      throw error
    }
  }

  /** Sends texts of any size, each as a memfd. */
  sendTexts(kind: string, head: Uint8Array, texts: readonly (Uint8Array | string)[]): boolean {
    const fds: number[] = []
    try {
      for (const text of texts)
        fds.push(memfdCreate('text', typeof text === 'string' ? Buffer.from(text) : text))
      return this.send(kind, head, fds)
    } finally {
      for (const fd of fds) closeFd(fd)
    }
  }

  /** Resolves when the other end has gone, whatever it says before. */
  async gone(): Promise<void> {
    while ((await this.receive()) !== undefined);
  }

  /** Whoever waits for a packet gets none. */
  close(): void {
    this.open = false
    this.#stopWaiting?.() // a watch must not outlive its descriptor: the next connection has the same number
    closeFd(this.#fd)
  }

  #read(): { data: Buffer; fds: number[] } | undefined {
    try {
      return receiveMessage(this.#fd, maxPacket)
    } catch (error) {
      if (hasCode(error, 'ECONNRESET')) return { data: Buffer.alloc(0), fds: [] }
      throw error
    }
  }

  #readable(): Promise<void> {
    return new Promise((resolve) => {
      const watch = watchFd(this.#fd, { readable: true, hangup: true }, () => this.#stopWaiting?.())
      this.#stopWaiting = () => {
        this.#stopWaiting = undefined
        watch.close()
        resolve()
      }
    })
  }
}
