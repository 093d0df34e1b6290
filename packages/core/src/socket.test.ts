import { once } from 'node:events'
import { createServer, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { closeFd, pipe2, readFd, writeFd } from './descriptor.ts'
import { pidfdSendSignal } from './pidfd.ts'
import {
  isTaken,
  peerCredentials,
  peekFromFirst,
  peerPidfd,
  receiveMessage,
  sendMessage,
  socketHandleFd,
  socketpair,
} from './socket.ts'

describe('messages', () => {
  it('carries descriptors, keeps message bounds, and tells waiting from the end', () => {
    const [a, b] = socketpair('seqpacket')
    const pipe = pipe2()
    expect(receiveMessage(b, 100)).toBeUndefined()
    expect(sendMessage(a, 'two', [pipe.read, pipe.write])).toBe(3)
    expect(sendMessage(a, 'none')).toBe(4)
    const first = receiveMessage(b, 100)!
    expect([first.data.toString(), first.fds.length]).toEqual(['two', 2])
    writeFd(first.fds[1]!, 'through')
    expect(readFd(pipe.read, 100)?.toString()).toBe('through')
    expect(receiveMessage(b, 100)).toEqual({ data: Buffer.from('none'), fds: [] })
    closeFd(a)
    expect(receiveMessage(b, 100)?.data).toHaveLength(0)
    for (const fd of [b, pipe.read, pipe.write, ...first.fds]) closeFd(fd)
  })

  it('refuses a message that does not fit, and keeps none of its descriptors', () => {
    const [a, b] = socketpair('seqpacket')
    const lowest = pipe2()
    closeFd(lowest.read)
    closeFd(lowest.write)
    sendMessage(a, 'too long', [a])
    expect(() => receiveMessage(b, 3)).toThrow(/EMSGSIZE/)
    expect(pipe2().read).toBe(lowest.read)
    for (const fd of [a, b, lowest.read, lowest.write]) closeFd(fd)
  })

  it('peeks one after the other, as often as is begun with the first, and what is read is gone', () => {
    const [a, b] = socketpair('seqpacket')
    for (const word of ['one', 'three', 'to']) sendMessage(a, word, [a])
    const peeked = () => {
      peekFromFirst(b)
      const words: string[] = []
      for (let message; (message = receiveMessage(b, 100, { peek: true }));) {
        words.push(message.data.toString())
        message.fds.forEach(closeFd)
      }
      return words
    }
    expect(peeked()).toEqual(['one', 'three', 'to'])
    expect(peeked()).toEqual(['one', 'three', 'to'])
    receiveMessage(b, 100)!.fds.forEach(closeFd)
    expect(peeked()).toEqual(['three', 'to'])
    sendMessage(a, 'more')
    expect(peeked()).toEqual(['three', 'to', 'more'])
    closeFd(a)
    closeFd(b)
  })

  it('tells whether the peer has read everything', () => {
    const [a, b] = socketpair('stream')
    expect(isTaken(a)).toBe(true)
    sendMessage(a, 'some')
    expect(isTaken(a)).toBe(false)
    readFd(b, 2)
    expect(isTaken(a)).toBe(false)
    readFd(b, 100)
    expect(isTaken(a)).toBe(true)
    closeFd(a)
    closeFd(b)
  })

  it('reports a closed peer as EPIPE, without a signal', () => {
    const [a, b] = socketpair('seqpacket')
    closeFd(b)
    expect(() => sendMessage(a, 'x')).toThrow(/EPIPE/)
    closeFd(a)
  })
})

describe('peers', () => {
  it('says who is on the other side of a socket of Node', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hf-'))
    onTestFinished(() => rmSync(dir, { recursive: true }))
    const server = createServer().listen(join(dir, 's'))
    await once(server, 'listening')
    const client = connect(join(dir, 's'))
    const [socket] = await once(server, 'connection')
    expect(peerCredentials(socketHandleFd(socket))).toEqual({
      pid: process.pid,
      uid: process.getuid!(),
      gid: process.getgid!(),
    })
    const pidfd = peerPidfd(socketHandleFd(socket))
    pidfdSendSignal(pidfd, 0)
    closeFd(pidfd)
    client.destroy()
    socket.destroy()
    expect(() => socketHandleFd(socket)).toThrow(/closed/)
    server.close()
  })
})
