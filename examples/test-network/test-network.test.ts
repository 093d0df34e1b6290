import { text } from 'node:stream/consumers'
import { connectIn, listenIn } from '@holdfast/core'
import { describe, expect, it, onTestFinished } from 'vitest'
import { TestNetwork } from './test-network.ts'

/** What a server says to whoever connects, there and then. */
function serve(netns: number, address: string, port: number, greeting: string): void {
  const server = listenIn({ netns, address, port }, (socket) => socket.end(greeting))
  onTestFinished(() => void server.close())
}

async function ask(netns: number, address: string, port: number): Promise<string> {
  const socket = connectIn({ netns, address, port })
  socket.end()
  return await text(socket)
}

describe.skipIf(process.getuid?.() !== 0)('a network of a test’s own', () => {
  it('connects two namespaces, and the host with both', async () => {
    await using test = await TestNetwork.open()
    const [client, server] = [await test.machine('client'), await test.machine('server')]
    serve(server.netns, server.address, 80, 'hello from the server')
    expect(await ask(client.netns, server.address, 80)).toBe('hello from the server')
    expect(await ask(test.host, server.address, 80)).toBe('hello from the server')
  })

  it('publishes ports on a host of its own, where no other test is in the way, and knows who may begin what', async () => {
    await using test = await TestNetwork.open()
    const [client, server] = [await test.machine('client'), await test.machine('server')]
    serve(server.netns, server.address, 80, 'published')
    serve(test.host, '10.1.0.1', 22, 'the host')
    await test.network.publish(server.attachment, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }])
    await test.network.allow(server.attachment, []) // it may begin nothing itself
    expect(await ask(test.host, '127.0.0.1', 8080)).toBe('published')
    expect(await ask(client.netns, '10.1.0.1', 22)).toBe('the host')
    await expect(ask(server.netns, '10.1.0.1', 22)).rejects.toThrow(/ECONNREFUSED/)
  })
})
