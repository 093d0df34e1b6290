import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { eventually } from '@holdfast/testkit'
import type { RelaySpec } from '@holdfast/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, talk } from './relay-client.ts'
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
      await last.killShim()
      const client = createSocket('udp6')
      client.send('sent', udp.listen.port, '::1')
      const answer = once(client, 'message') as Promise<[Buffer]>
      const words = [talk(tcp, 'one'), talk(tcp, 'two')]
      last = await world.adopt(last.bundle)
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
    await run.killShim()
    await expect(talk(one, '')).rejects.toThrow(/ECONNREFUSED/)
    const waiting = talk(two, 'two')
    const next = await world.adopt(run.bundle)
    expect(await waiting).toBe('two')
    await next.client.request('relays.set', { relays: [one, two] })
    await next.killShim()
    const both = [talk(one, 'one'), talk(two, 'two')]
    const last = await world.adopt(next.bundle)
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
      await run.killShim()
      const next = withShim ? await world.adopt(run.bundle) : undefined
      process.kill(pid, 'SIGKILL')
      if (next) await next.event('exited')
      await eventually(() => canListen(relay.listen.port))
      await (next ?? (await world.adopt(run.bundle))).delete()
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
    await run.killShim()
    const waiting = [talk(first, 'first'), talk(last, 'last')]
    const next = await world.adopt(run.bundle)
    expect(await Promise.all(waiting)).toEqual(['first', 'last'])
    await next.client.request('relays.set', { relays: relays.slice(1) })
    await next.killShim()
    await expect(talk(first, '')).rejects.toThrow(/ECONNREFUSED/)
    const still = talk(last, 'still')
    const end = await world.adopt(next.bundle)
    expect(await still).toBe('still')
    await end.delete()
  })
})

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
