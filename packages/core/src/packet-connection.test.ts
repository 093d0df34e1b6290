import { describe, expect, it } from 'vitest'
import { closeFd } from './descriptor.ts'
import { PacketConnection } from './packet-connection.ts'
import { sendMessage, socketpair } from './socket.ts'

function pair(): { connection: PacketConnection; theirs: number; fd: number } {
  const [fd, theirs] = socketpair('seqpacket')
  return { connection: new PacketConnection(fd), theirs, fd }
}

describe('a connection', () => {
  it('hands out packets by their first byte, and none once the other end is gone', async () => {
    const { connection, theirs } = pair()
    sendMessage(theirs, 'qbody')
    expect(await connection.receive()).toMatchObject({ kind: 'q', body: Buffer.from('body') })
    const next = connection.receive()
    closeFd(theirs)
    expect(await next).toBeUndefined()
    expect(connection.open).toBe(false)
    expect(connection.send('x')).toBe(false)
    connection.close()
  })

  it('that is closed while somebody waits leaves its number to the next', async () => {
    const first = pair()
    const waiting = first.connection.receive()
    first.connection.close()
    expect(await waiting).toBeUndefined()
    const second = pair()
    expect(second.fd).toBe(first.fd)
    const received = second.connection.receive()
    sendMessage(second.theirs, 'c')
    expect(await received).toMatchObject({ kind: 'c' })
    second.connection.close()
    closeFd(first.theirs)
    closeFd(second.theirs)
  })
})
