import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { eventually } from '@holdfast/testkit'
import type { RelaySpec } from '@holdfast/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { World, type Running } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('relays of a shim that was killed', { timeout: 60_000 }, () => {
  let world: World
  let echo: Server
  beforeAll(async () => {
    world = await World.open()
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
  })
  afterAll(async () => {
    echo.close()
    await world.close()
  })

  async function start(relays: RelaySpec[]): Promise<Running> {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    await run.client.request('relays.set', { relays })
    return run
  }

  const relayTo = (server: Server, port: number): RelaySpec => ({
    protocol: 'tcp',
    listen: { address: '::1', port },
    target: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
  })

  async function kill({ client, shimPid }: Running): Promise<void> {
    const lost = new Promise((resolve) => client.once('close', resolve))
    process.kill(shimPid, 'SIGKILL')
    await lost
  }

  async function replace({ bundle, dir }: Running): Promise<Running> {
    const { pid } = await world.zygote.fork({ dir })
    return world.connect(bundle, pid)
  }

  it('keep who connects and what is sent for the next one, again and again', async () => {
    const target = createSocket('udp4', (message, { port, address }) => target.send(message, port, address))
    target.bind(0, '127.0.0.1')
    await once(target, 'listening')
    const tcp = relayTo(echo, await freePort())
    const listen = { address: '::1', port: await freePort() }
    const udp = {
      protocol: 'udp',
      listen,
      target: { address: '127.0.0.1', port: target.address().port },
    } as const
    let last = await start([tcp, udp])
    for (let round = 0; round < 3; round++) {
      await kill(last)
      const client = createSocket('udp6')
      client.send('sent', udp.listen.port, '::1')
      const answer = once(client, 'message') as Promise<[Buffer]>
      const words = [talk(tcp, 'one'), talk(tcp, 'two')]
      last = await replace(last)
      expect(await Promise.all(words)).toEqual(['one', 'two'])
      expect(String((await answer)[0])).toBe('sent')
      client.close()
    }
    target.close()
    await last.delete()
  })

  it('refuse at once when they were taken away, before or after, and the others go on', async () => {
    const [one, two] = [relayTo(echo, await freePort()), relayTo(echo, await freePort())]
    const run = await start([one, two])
    await run.client.request('relays.set', { relays: [two] })
    await expect(talk(one, '')).rejects.toThrow(/ECONNREFUSED/)
    await kill(run)
    await expect(talk(one, '')).rejects.toThrow(/ECONNREFUSED/)
    const waiting = talk(two, 'two')
    const next = await replace(run)
    expect(await waiting).toBe('two')
    await next.client.request('relays.set', { relays: [one, two] })
    await kill(next)
    const both = [talk(one, 'one'), talk(two, 'two')]
    const last = await replace(next)
    expect(await Promise.all(both)).toEqual(['one', 'two'])
    await last.client.request('relays.set', { relays: [] })
    for (const gone of [one, two]) await expect(talk(gone, '')).rejects.toThrow(/ECONNREFUSED/)
    await last.delete()
  })

  it('are free for others when the container has ended, whether there is a shim or not', async () => {
    for (const withShim of [true, false]) {
      const relay = relayTo(echo, await freePort())
      const run = await start([relay])
      const { pid } = await run.client.request('state', {})
      await kill(run)
      const next = withShim ? await replace(run) : undefined
      process.kill(pid, 'SIGKILL')
      if (next) await next.event('exited')
      await eventually(() => canListen(relay.listen.port))
      await (next ?? (await replace(run))).delete()
    }
  })

  it('are more than one message has room for', async () => {
    const run = await start([])
    const relays = await eventually(async () => {
      const first = await freePort()
      const many = Array.from({ length: 260 }, (_, index) => relayTo(echo, first + index))
      await run.client.request('relays.set', { relays: many }) // another range, where one of it is in use
      return many
    })
    const [first, last] = [relays[0]!, relays.at(-1)!]
    await kill(run)
    const waiting = [talk(first, 'first'), talk(last, 'last')]
    const next = await replace(run)
    expect(await Promise.all(waiting)).toEqual(['first', 'last'])
    await next.client.request('relays.set', { relays: relays.slice(1) })
    await kill(next)
    await expect(talk(first, '')).rejects.toThrow(/ECONNREFUSED/)
    const still = talk(last, 'still')
    const end = await replace(next)
    expect(await still).toBe('still')
    await end.delete()
  })
})

/** Sends, ends, and reads to the end. */
function talk({ listen }: RelaySpec, words: string): Promise<string> {
  const socket = connect({ host: listen.address, port: listen.port, allowHalfOpen: true })
  socket.end(words)
  return text(socket)
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '::1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer()
  server.listen(port, '::1')
  try {
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
