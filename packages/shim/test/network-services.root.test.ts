import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DnsSpec, RelaySpec } from '@holdfast/protocol'
import { exec } from './ask.ts'
import { freePort, talk } from './relay-client.ts'
import { World, type Running } from './world.ts'

const dns: DnsSpec = {
  table: {
    ttl: 30,
    hosts: [{ id: 'a'.repeat(64), names: ['db', 'store'], domain: 'shop', addresses: ['10.9.9.9'] }],
    local: ['shop'],
  },
  upstreams: [],
}

describe.skipIf(process.getuid?.() !== 0)("a shim on its container's network", () => {
  let world: World
  let echo: Server
  beforeAll(async () => {
    world = await World.open()
    writeFileSync(join(world.rootfs, 'etc/resolv.conf'), 'nameserver 127.0.0.11\noptions ndots:0\n')
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

  async function start(): Promise<Running> {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid } = await run.client.request('state', {})
    execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'set', 'lo', 'up'])
    return run
  }

  const nslookup = async (run: Running, name: string) =>
    (await exec(run, `e${Math.random().toString(36).slice(2)}`, ['nslookup', name])).output

  async function replaceShim(run: Running): Promise<Running> {
    const lost = new Promise((resolve) => run.client.once('close', resolve))
    process.kill(run.shimPid, 'SIGKILL')
    await lost
    const { pid } = await world.zygote.fork({ dir: run.dir })
    return world.connect(run.bundle, pid)
  }

  const relayTo = async (server: Server, protocol: 'tcp' | 'udp' = 'tcp'): Promise<RelaySpec> => ({
    protocol,
    listen: { address: '::1', port: await freePort() },
    target: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
  })

  it('answers names in the container, and what changes of them', async () => {
    const run = await start()
    await run.client.request('dns.set', { dns })
    expect(await nslookup(run, 'store.shop')).toContain('Address: 10.9.9.9')
    expect(await nslookup(run, 'web')).toContain('SERVFAIL')
    await run.client.request('dns.change', {
      put: [{ id: 'b'.repeat(64), names: ['web'], addresses: ['10.9.9.10'] }],
      remove: [{ id: 'a'.repeat(64), domain: 'shop' }],
    })
    expect(await nslookup(run, 'web')).toContain('Address: 10.9.9.10')
    expect(await nslookup(run, 'db.shop')).toContain('NXDOMAIN')
    await run.client.request('dns.set', { dns: null })
    expect(await nslookup(run, 'web')).toContain('no servers could be reached')
    expect(run.leftovers()).not.toContain('dns.json')
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })

  it('goes on without a supervisor, and after it was killed', async () => {
    const run = await start()
    const relay = await relayTo(echo)
    await run.client.request('dns.set', { dns })
    await run.client.request('relays.set', { relays: [relay] })
    const { pid } = await run.client.request('state', {})
    run.client.close()
    const lookup = () =>
      execFileSync('nsenter', [
        `--net=/proc/${pid}/ns/net`,
        'busybox',
        'nslookup',
        'db',
        '127.0.0.11',
      ]).toString()
    expect(lookup()).toContain('10.9.9.9')
    expect(await talk(relay, 'hello')).toBe('hello')
    const next = await replaceShim(await world.connect(run.bundle, run.shimPid))
    await next.client.request('state', {})
    expect(await nslookup(next, 'db')).toContain('10.9.9.9')
    expect(await talk(relay, 'again')).toBe('again')
    await next.client.request('dns.change', { put: [], remove: [{ id: 'a'.repeat(64), domain: 'shop' }] })
    expect(await nslookup(next, 'db.shop')).toContain('NXDOMAIN')
    await next.delete()
  })

  it("lets go of the network and the host's ports when the container has ended", async () => {
    const run = await start()
    const relay = await relayTo(echo)
    const before = descriptors(run)
    await run.client.request('dns.set', { dns })
    await run.client.request('relays.set', { relays: [relay] })
    expect(descriptors(run).length).toBe(before.length + 6) // udp, tcp, the redirect to them, the vault, and the relay
    const { namespaces } = await run.client.request('state', {})
    await run.client.request('kill', { signal: 9 })
    await run.event('exited')
    await run.client.request('state', {})
    // Its keeper's channel has gone with it.
    expect(before).toEqual(
      expect.arrayContaining(descriptors(run).filter((link) => link.startsWith('socket:'))),
    )
    expect(descriptors(run)).not.toContain(`net:[${namespaces.net!.ino}]`)
    await expect(talk(relay, 'x')).rejects.toThrow(/ECONNREFUSED/)
    await expect(run.client.request('dns.set', { dns })).rejects.toMatchObject({
      code: 'HF_CONTAINER_NOT_RUNNING',
    })
    await run.delete()
  })

  it('relays tcp both ways until each has ended, and breaks off what is refused', async () => {
    const run = await start()
    const relay = await relayTo(echo)
    const gone = {
      ...relay,
      listen: { address: '::1', port: await freePort() },
      target: { address: '127.0.0.1', port: await freePort() },
    }
    await run.client.request('relays.set', { relays: [relay, gone] })
    const large = 'x'.repeat(3_000_000)
    expect((await talk(relay, large)).length).toBe(large.length)
    await expect(talk(gone, '')).rejects.toThrow(/ECONNRESET/) // and not a clean end
    // The list is the whole truth: what is missing in it ends, what is in it goes on.
    const socket = connect({ host: '::1', port: relay.listen.port })
    socket.write('one')
    expect(String((await once(socket, 'data'))[0])).toBe('one')
    await run.client.request('relays.set', { relays: [relay] })
    await expect(talk(gone, 'x')).rejects.toThrow(/ECONNREFUSED/)
    socket.write('two')
    expect(String((await once(socket, 'data'))[0])).toBe('two')
    const closed = once(socket, 'close')
    await run.client.request('relays.set', { relays: [] })
    await closed
    await run.delete()
  })

  it('relays udp, each client for itself', async () => {
    const target = createSocket('udp4')
    target.on('message', (message, { port, address }) =>
      target.send(`${message.toString()} for ${port}`, port, address),
    )
    target.bind(0, '127.0.0.1')
    await once(target, 'listening')
    const run = await start()
    const relay: RelaySpec = {
      protocol: 'udp',
      listen: { address: '::1', port: await freePort() },
      target: { address: '127.0.0.1', port: target.address().port },
    }
    await run.client.request('relays.set', { relays: [relay] })
    const ask = async (words: string[]) => {
      const client = createSocket('udp6')
      const answers: string[] = []
      for (const word of words) {
        client.send(word, relay.listen.port, '::1')
        answers.push(String(((await once(client, 'message')) as [Buffer])[0]))
      }
      client.close()
      return answers
    }
    const [first, second] = await Promise.all([ask(['a', 'b']), ask(['c'])])
    expect(first.map((answer) => answer[0])).toEqual(['a', 'b'])
    const port = (answer: string) => answer.split(' ').at(-1)
    expect(port(first[0]!)).toBe(port(first[1]!))
    expect(port(first[0]!)).not.toBe(port(second[0]!))
    await run.delete()
    target.close()
  })

  it('names the port that is taken, and keeps what it had', async () => {
    const run = await start()
    const relay = await relayTo(echo)
    await run.client.request('relays.set', { relays: [relay] })
    const taken = createServer()
    taken.listen(0, '::1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const other = { ...relay, listen: { address: '::1', port: await freePort() } }
    const clash = { ...relay, listen: { address: '::1', port } }
    await expect(run.client.request('relays.set', { relays: [other, clash] })).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: `port [::1]:${port}/tcp is in use`,
      details: { protocol: 'tcp', hostIp: '::1', port },
    })
    expect(await talk(relay, 'still')).toBe('still')
    await expect(talk(other, 'x')).rejects.toThrow(/ECONNREFUSED/)
    const nowhere = { ...relay, listen: { address: '2001:db8::1', port: 80 } }
    await expect(run.client.request('relays.set', { relays: [nowhere] })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
    taken.close()
    await run.delete()
  })

  it('refuses names in a network that is the host’s, a bad table, and a change of none', async () => {
    const run = await start()
    await expect(run.client.request('dns.change', { put: [], remove: [] })).rejects.toMatchObject({
      code: 'HF_CONTAINER_STATE',
    })
    const bad = { ...dns, table: { ...dns.table, local: ['10.0.0.0/99'] } }
    await expect(run.client.request('dns.set', { dns: bad })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
    await run.delete()
    const host = await world.run({
      args: ['sleep', '1000'],
      config: (config) => {
        config.linux.namespaces = config.linux.namespaces.filter(
          ({ type }: { type: string }) => type !== 'network',
        )
      },
    })
    await host.createAndStart()
    await expect(host.client.request('dns.set', { dns })).rejects.toMatchObject({ code: 'HF_UNSUPPORTED' })
    expect(statSync(host.dir).isDirectory()).toBe(true)
    await host.delete()
  })
})

function descriptors({ shimPid }: Running): string[] {
  return readdirSync(`/proc/${shimPid}/fd`).flatMap((fd) => {
    try {
      return readlinkSync(`/proc/${shimPid}/fd/${fd}`)
    } catch {
      return [] // closed meanwhile
    }
  })
}
