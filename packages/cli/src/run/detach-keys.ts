import { usageError, type Parsed } from '../command-line.ts'

/**
 * What `--detach-keys` says, checked: to be asked for before anything is created or started. The engine is told too: it
 * looks for Docker's own keys otherwise.
 */
export function detachKeysOf(parsed: Parsed): string {
  const keys = parsed.text('detach-keys') ?? 'ctrl-p,ctrl-q'
  sequenceOf(keys)
  return keys
}

function sequenceOf(keys: string): number[] {
  return keys === '' ? [] : keys.split(',').map(keyCode)
}

/** Finds the detach sequence (`ctrl-p,ctrl-q`) in what is typed; keys that only began it are passed on after all. */
export class DetachKeys {
  readonly #sequence: number[]
  #matched = 0

  constructor(keys: string) {
    this.#sequence = sequenceOf(keys)
  }

  take(chunk: Buffer): { data: Buffer; detach: boolean } {
    if (this.#sequence.length === 0) return { data: chunk, detach: false }
    const out: number[] = []
    for (const byte of chunk) {
      if (byte === this.#sequence[this.#matched]) {
        this.#matched++
        if (this.#matched === this.#sequence.length) return { data: Buffer.from(out), detach: true }
        continue
      }
      out.push(...this.#sequence.slice(0, this.#matched))
      this.#matched = byte === this.#sequence[0] ? 1 : 0
      if (this.#matched === 0) out.push(byte)
    }
    return { data: Buffer.from(out), detach: false }
  }
}

/** `a`, `ctrl-a` … `ctrl-z`, `ctrl-@ [ \ ] ^ _`. */
function keyCode(key: string): number {
  if (key.length === 1) return key.charCodeAt(0)
  const letter = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1]
  if (letter === undefined)
    throw usageError(`invalid detach keys: unknown key "${key}"`, 'For example ctrl-p,ctrl-q.')
  return letter.toUpperCase().charCodeAt(0) & 0x1f
}
