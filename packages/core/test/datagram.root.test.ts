import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { openDatagrams, type DatagramHandlers } from '../src/datagram.ts'
import { closeFd, dupCloexec } from '../src/descriptor.ts'
import { createNamespace } from '../src/namespace.ts'
import { connectIn, listenIn } from '../src/stream.ts'
import { describeAsRoot } from './as-root.ts'

/** Handlers that keep what came, and a promise of the next of it. */
function collect(onMessage: DatagramHandlers['onMessage'] = () => {}) {
  const errors: string[] = []
  const messages: string[] = []
  let next = Promise.withResolvers<void>()
  const came = () => {
    next.resolve()
    next = Promise.withResolvers<void>()
  }
  return {
    errors,
    messages,
    next: () => next.promise,
    handlers: {
      onMessage: (message: Uint8Array, peer: Uint8Array) => {
        messages.push(Buffer.from(message).toString())
        onMessage(message, peer)
        came()
      },
      onError: (code: string) => {
        errors.push(code)
        came()
      },
    },
  }
}

describeAsRoot('datagrams', () => {
  it('answers in a namespace whose loopback is down when it binds', async () => {
    const netns = createNamespace('net')
    const server = openDatagrams(
      { netns, bind: { address: '127.0.0.11', port: 53 }, freebind: true },
      collect((message, peer) => server.send(message, peer)).handlers,
    )
    execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${netns}`, 'ip', 'link', 'set', 'lo', 'up'])
    const client = collect()
    const socket = openDatagrams({ netns, connect: { address: '127.0.0.11', port: 53 } }, client.handlers)
    for (const text of ['one', 'two']) {
      const answered = client.next()
      expect(socket.send(Buffer.from(text))).toBe(true)
      await answered
    }
    expect(client.messages).toEqual(['one', 'two'])
    socket.close()
    expect(socket.send(Buffer.from('closed'))).toBe(false)
    server.close()
    closeFd(netns)
  })

  it('waits, as a stream does, in a socket of which a duplicate is kept, for whoever takes it over', async () => {
    const netns = createNamespace('net')
    execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${netns}`, 'ip', 'link', 'set', 'lo', 'up'])
    const place = { netns, address: '127.0.0.11', port: 53 }
    const first = openDatagrams({ netns, bind: place, freebind: true }, collect().handlers)
    const listener = listenIn({ ...place, freebind: true }, (stream) => stream.end('not this one'))
    const kept = [dupCloexec(first.fd), dupCloexec(listener.fd)] as const
    first.close()
    listener.close()
    const client = collect()
    const socket = openDatagrams({ netns, connect: place }, client.handlers)
    const stream = connectIn(place)
    const answered = client.next()
    socket.send(Buffer.from('asked meanwhile'))
    const second = openDatagrams(
      { fd: kept[0] },
      collect((message, peer) => second.send(message, peer)).handlers,
    )
    const server = listenIn({ fd: kept[1] }, (accepted) => accepted.end('answered'))
    await answered
    expect(client.messages).toEqual(['asked meanwhile'])
    expect(String((await once(stream, 'data'))[0])).toBe('answered')
    stream.destroy()
    socket.close()
    second.close()
    server.close()
    closeFd(netns)
  })

  it('answers from the address that was asked, where it hears on all', async () => {
    for (const [wild, asked] of [
      ['0.0.0.0', '127.0.0.77'],
      ['::', '::1'],
    ] as const) {
      const port = await freePort()
      const server = openDatagrams(
        { bind: { address: wild, port } },
        collect((message, peer) => server.send(message, peer)).handlers,
      )
      const client = collect()
      const socket = openDatagrams({ connect: { address: asked, port } }, client.handlers)
      const answered = client.next()
      socket.send(Buffer.from('hello'))
      await answered // a connected socket hears nothing from another address
      expect(client.messages).toEqual(['hello'])
      socket.close()
      server.close()
    }
  })

  it('goes on after the network has said that nobody listens', async () => {
    const port = await freePort()
    const client = collect()
    const socket = openDatagrams({ connect: { address: '127.0.0.1', port } }, client.handlers)
    let next = client.next()
    socket.send(Buffer.from('lost'))
    await next
    expect(client.errors).toEqual(['ECONNREFUSED'])
    const server = openDatagrams(
      { bind: { address: '127.0.0.1', port } },
      collect((message, peer) => server.send(message, peer)).handlers,
    )
    next = client.next()
    socket.send(Buffer.from('found'))
    await next
    expect(client.messages).toEqual(['found'])
    socket.close()
    server.close()
  })

  it('reports an address in use, and leaves no descriptor', async () => {
    const port = await freePort()
    const server = openDatagrams({ bind: { address: '127.0.0.1', port } }, collect().handlers)
    const before = readdirSync('/proc/self/fd').length
    expect(() => openDatagrams({ bind: { address: '127.0.0.1', port } }, collect().handlers)).toThrow(
      /EADDRINUSE/,
    )
    expect(() => openDatagrams({}, collect().handlers)).toThrow(/bind is missing/)
    expect(readdirSync('/proc/self/fd')).toHaveLength(before)
    server.close()
  })
})

describeAsRoot('streams of another namespace', () => {
  it('connect, half-close, and report who is not there', async () => {
    const netns = createNamespace('net')
    execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${netns}`, 'ip', 'link', 'set', 'lo', 'up'])
    const place = { netns, address: '127.0.0.1', port: 80 }
    const server = listenIn(place, (socket) => {
      socket.on('data', (chunk) => socket.write(chunk))
      socket.on('end', () => setImmediate(() => socket.end('bye')))
    })
    const client = connectIn(place)
    let heard = ''
    client.on('data', (chunk) => (heard += String(chunk)))
    client.end('hello ')
    await once(client, 'close')
    expect(heard).toBe('hello bye')
    server.close()
    await once(server, 'close')
    const lost = connectIn(place)
    lost.write('x')
    const [error] = (await once(lost, 'error').catch((thrown: unknown) => [thrown])) as [{ code: string }]
    expect(error.code).toBe('ECONNREFUSED')
    closeFd(netns)
  })
})

async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}
