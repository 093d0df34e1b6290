import type { ShimAttachment } from '../shims/shim-attachment.ts'
import type { AttachSession } from './engine.ts'

/** A client's connection to the stdio of something that runs. */
export class LiveAttachment implements AttachSession {
  readonly tty: boolean
  readonly #connection: ShimAttachment

  constructor(connection: ShimAttachment, tty: boolean) {
    this.#connection = connection
    this.tty = tty
  }

  get output(): AttachSession['output'] {
    return this.#connection.output
  }

  write(data: Buffer): Promise<void> {
    return this.#connection.write(data)
  }

  end(): void {
    this.#connection.end()
  }

  close(): void {
    this.#connection.close()
  }
}
