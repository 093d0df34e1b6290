/** gzip, zstd or plain, told apart by the first bytes: what a media type or a file's name says is not asked. */
import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { HoldfastError } from '@holdfast/errors'

export type Compression = 'none' | 'gzip' | 'zstd'

const magicLength = 6
const unsupported: [string, Buffer][] = [
  ['xz', Buffer.from('fd377a585a00', 'hex')],
  ['bzip2', Buffer.from('BZh')],
  ['lzip', Buffer.from('LZIP')],
]

/** Throws HF_UNSUPPORTED for a compression known by name and not built in. */
function detectCompression(start: Buffer): Compression {
  if (start.length >= 3 && start[0] === 0x1f && start[1] === 0x8b && start[2] === 8) return 'gzip'
  // A zstd frame, or one of the frames that decoders skip.
  if (
    start.length >= 4 &&
    (start.readUInt32LE(0) === 0xfd2fb528 || start.readUInt32LE(0) >>> 4 === 0x184d2a5)
  )
    return 'zstd'
  const known = unsupported.find(([, magic]) => start.subarray(0, magic.length).equals(magic))
  if (known) {
    throw new HoldfastError('HF_UNSUPPORTED', `the archive is compressed with ${known[0]}`, {
      hint: 'Archives may be plain, gzip or zstd: recompress it.',
      details: { field: 'compression' },
    })
  }
  return 'none'
}

/**
 * Hands each chunk of `source`, decompressed, to `take`, which is synchronous: the decompressor works on the thread
 * pool meanwhile, at most a few chunks ahead. Concatenated members and frames are read as one stream.
 */
export async function decompress(
  source: AsyncIterable<Buffer>,
  take: (chunk: Buffer) => void,
): Promise<Compression> {
  const { start, rest } = await peek(source)
  const compression = detectCompression(start)
  if (compression === 'none') {
    for await (const chunk of rest) take(chunk)
    return compression
  }
  await pipeline(Readable.from(rest, { objectMode: false }), decompressor(compression), async (plain) => {
    for await (const chunk of plain as AsyncIterable<Buffer>) take(chunk)
  }).catch((error: unknown) => {
    throw asCorrupt(error, compression)
  })
  return compression
}

function decompressor(compression: Exclude<Compression, 'none'>): Transform {
  const options = { chunkSize: 256 * 1024 }
  return compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options)
}

function asCorrupt(error: unknown, compression: Compression): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (!code.startsWith('Z_') && !code.startsWith('ZSTD_')) return error
  return new HoldfastError('HF_CORRUPT_LAYER', `invalid ${compression} data: ${(error as Error).message}`, {
    cause: error,
  })
}

async function peek(source: AsyncIterable<Buffer>): Promise<{ start: Buffer; rest: AsyncIterable<Buffer> }> {
  const iterator = source[Symbol.asyncIterator]()
  const chunks: Buffer[] = []
  let length = 0
  while (length < magicLength) {
    const { done, value } = await iterator.next()
    if (done) break
    chunks.push(value)
    length += value.length
  }
  const start = Buffer.concat(chunks)
  return { start, rest: resume(start, iterator) }
}

async function* resume(start: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (start.length > 0) yield start
    for (;;) {
      const { done, value } = await iterator.next()
      if (done) return
      yield value
    }
  } finally {
    await iterator.return?.()
  }
}
