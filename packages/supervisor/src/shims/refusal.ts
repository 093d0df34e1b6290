import type { IncomingMessage } from 'node:http'
import { HoldfastError } from '@holdfast/errors'

/** The error in the body of an answer that isn't 101. */
export async function readRefusal(response: IncomingMessage): Promise<HoldfastError> {
  let body = ''
  for await (const chunk of response) body += String(chunk)
  try {
    return HoldfastError.fromJSON(JSON.parse(body))
  } catch {
    const text = `the shim refused the connection (${response.statusCode}): ${body.slice(0, 200)}`
    return new HoldfastError('HF_PROTOCOL', text)
  }
}
