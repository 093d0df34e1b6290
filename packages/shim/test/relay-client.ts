import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { RelaySpec } from '@holdfast/protocol'

/** Sends, ends, and reads to the end. */
export function talk({ listen }: RelaySpec, words: string): Promise<string> {
  const socket = connect({ host: listen.address, port: listen.port, allowHalfOpen: true })
  socket.end(words)
  return text(socket)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '::1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
