/** What the planner answers a front end. What each packet means stands in native/ask.c. */
import { closeFd, type PacketConnection } from '@holdfast/core'
import { ExitError, type Call } from './call.ts'
import { messageOf } from './error-text.ts'
import { protocolError } from './protocol-error.ts'
import { readRequest } from './request.ts'
import { verbs } from '../verbs.ts'

/** One call, from its request to its exit status. Never rejects. */
export async function serve(connection: PacketConnection): Promise<void> {
  const printed: string[] = []
  try {
    const status = await answer(connection, printed)
    leave(connection, status, printed.join(''))
  } catch (error) {
    leave(connection, error instanceof ExitError ? error.status : 1, printed.join(''), messageOf(error))
  }
}

async function answer(connection: PacketConnection, printed: string[]): Promise<number> {
  const packet = await connection.receive()
  connection.send('a')
  const [memfd, input] = packet?.fds ?? []
  if (packet?.kind !== 'q' || memfd === undefined) throw protocolError('no request')
  const request = readRequest(memfd)
  closeFd(memfd)
  const call: Call = {
    request,
    connection,
    input,
    print: (text) => void printed.push(text),
    warn: (text) => void connection.send('w', text.slice(0, 4000)),
  }
  try {
    const verb = Object.hasOwn(verbs, request.verb) ? verbs[request.verb] : undefined
    if (!verb) throw new ExitError(3, `No help topic for '${request.verb}'`) // urfave/cli's status
    return (await verb(call)) ?? 0
  } finally {
    if (input !== undefined) closeFd(input)
  }
}

function leave(connection: PacketConnection, status: number, out: string, error?: string): void {
  const head = Buffer.alloc(5)
  head[0] = (out === '' ? 0 : 1) | (error === undefined ? 0 : 2)
  head.writeUInt32LE(status, 1)
  connection.sendTexts('x', head, [...(out === '' ? [] : [out]), ...(error === undefined ? [] : [error])])
}
