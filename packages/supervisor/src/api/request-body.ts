import { HoldfastError } from '@holdfast/errors'
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

/** A create body with a thousand labels has a few hundred KiB; parsing stops the event loop, so there is an end. */
const bodyLimit = 4 * 1024 * 1024
const bodyTimeoutMs = 60_000

/** Reads a JSON body once, whole. undefined where there is none. Throws HF_BAD_REQUEST. */
export async function readJsonBody(stream: Readable, headers: IncomingHttpHeaders): Promise<unknown> {
  const length = headers['content-length']
  if (length === undefined && headers['transfer-encoding'] === undefined) return undefined
  if (length !== undefined && Number(length) > bodyLimit) throw tooLong()
  const text = (await readAll(stream)).toString('utf8')
  if (text.trim() === '') return undefined
  const type = headers['content-type'] ?? ''
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `unsupported Content-Type header (${type}): must be 'application/json'`,
    )
  }
  return parse(text)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid JSON: ${(cause as Error).message}`, { cause })
  }
}

async function readAll(stream: Readable): Promise<Buffer> {
  await Promise.resolve() // by then Node has parsed what has come with the head
  return arrived(stream) ?? (await arriving(stream))
}

/** A short body has come with its head, and need not be listened and waited for. */
function arrived(stream: Readable & { complete?: boolean }): Buffer | undefined {
  const size = stream.readableLength
  if (stream.complete !== true || size === 0 || size > bodyLimit) return undefined
  return stream.read() as Buffer
}

function arriving(stream: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const timer = setTimeout(() => {
      finish(
        new HoldfastError('HF_BAD_REQUEST', `the body did not arrive within ${bodyTimeoutMs / 1000} seconds`),
      )
    }, bodyTimeoutMs)
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size > bodyLimit) finish(tooLong())
      else chunks.push(chunk)
    }
    const onEnd = () => finish()
    const onClose = () =>
      finish(new HoldfastError('HF_BAD_REQUEST', 'the client went away in the middle of the body'))
    const finish = (error?: HoldfastError) => {
      clearTimeout(timer)
      stream.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      if (!error) {
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))
        return
      }
      stream.pause()
      reject(error)
    }
    stream.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

function tooLong(): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `the body is longer than ${bodyLimit} bytes`)
}
