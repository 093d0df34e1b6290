import { HoldfastError } from '@holdfast/errors'

const defaultKeys = 'ctrl-p,ctrl-q'

/** `ctrl-p,ctrl-q` or single characters as bytes. Empty: docker's default. Throws HF_BAD_REQUEST. */
export function parseDetachKeys(keys: string): Buffer {
  const bytes = (keys || defaultKeys).split(',').map((key) => {
    if (key.length === 1 && key > '\0' && key < '\x80') return key.charCodeAt(0)
    const control = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key)?.[1]
    if (control === undefined) {
      throw new HoldfastError('HF_BAD_REQUEST', `invalid detach keys "${keys}": unknown key "${key}"`)
    }
    return control.toUpperCase().charCodeAt(0) & 0x1f
  })
  return Buffer.from(bytes)
}

/** Looks for the detach keys in what a user types. Keys that began the sequence are held back until it is clear. */
export class DetachScanner {
  readonly #keys: Buffer
  #matched = 0

  constructor(keys: Buffer) {
    this.#keys = keys
  }

  /** What to pass on, and whether the keys were complete; bytes after them are dropped. */
  scan(chunk: Buffer): { pass: Buffer; detached: boolean } {
    // Nearly every chunk: nothing held back and none of the first key in it.
    if (this.#matched === 0 && !chunk.includes(this.#keys[0] as number))
      return { pass: chunk, detached: false }
    const pass: number[] = []
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched += 1
        if (this.#matched === this.#keys.length) return { pass: Buffer.from(pass), detached: true }
        continue
      }
      pass.push(...this.#keys.subarray(0, this.#matched))
      this.#matched = byte === this.#keys[0] ? 1 : 0
      if (this.#matched === 0) pass.push(byte)
    }
    return { pass: Buffer.from(pass), detached: false }
  }
}
