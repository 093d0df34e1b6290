/** Writes the flat layout that the front end reads (native/flat.c): little-endian numbers, texts of a known length. */
export class FlatWriter {
  readonly #parts: Buffer[] = []

  u32(value: number): this {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeUInt32LE(value >>> 0)
    this.#parts.push(bytes)
    return this
  }

  i64(value: number): this {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigInt64LE(BigInt(value))
    this.#parts.push(bytes)
    return this
  }

  /** The length, the bytes, and a NUL that is not counted. */
  text(value: string): this {
    const bytes = Buffer.from(`${value}\0`)
    this.u32(bytes.length - 1)
    this.#parts.push(bytes)
    return this
  }

  texts(values: readonly string[]): this {
    this.u32(values.length)
    for (const value of values) this.text(value)
    return this
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts)
  }
}
