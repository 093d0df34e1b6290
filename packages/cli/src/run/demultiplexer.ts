import type { Writable } from 'node:stream'

/**
 * Takes Docker's multiplexed stream apart: frames of an 8-byte header, [stream, 0, 0, 0, length as big-endian u32],
 * and a payload; stream 1 is stdout, 2 stderr, 3 an error of the engine (Engine API, "Stream format").
 */
export class Demultiplexer {
  readonly #stdout: Writable
  readonly #stderr: Writable
  #pending: Buffer = Buffer.alloc(0)

  constructor(stdout: Writable, stderr: Writable) {
    this.#stdout = stdout
    this.#stderr = stderr
  }

  /** False where the receiver wants a pause. */
  write(chunk: Buffer): boolean {
    let data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    let room = true
    while (data.length >= 8) {
      const length = data.readUInt32BE(4)
      if (data.length < 8 + length) break
      const payload = data.subarray(8, 8 + length)
      room = (data[0] === 1 ? this.#stdout : this.#stderr).write(payload) && room
      data = data.subarray(8 + length)
    }
    this.#pending = data
    return room
  }
}
