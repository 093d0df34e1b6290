import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { EngineWorld } from './engine-world.ts'

const allow = 'holdfast.egress.allow'
const deny = 'holdfast.egress.deny'
/** Of the host's loopback, where nobody else asks for names. */
const upstream = `127.${process.pid & 0xff}.${(process.pid >> 8) & 0xff}.53`

describe.skipIf(process.getuid?.() !== 0)("a container's egress policy", { timeout: 60_000 }, () => {
  let world: EngineWorld
  let names: Socket
  let servers: Server[]
  let gateway: string
  let ports: number[]

  beforeAll(async () => {
    world = await EngineWorld.open()
    const first = await world.start('sleep 1000', { NetworkMode: 'bridge' })
    gateway = world.engine.get(first).networks['bridge']!.gateway
    await remove(first)
    names = createSocket('udp4')
    names.on('message', (question, peer) => names.send(answer(question, gateway), peer.port, peer.address))
    names.bind(53, upstream)
    await once(names, 'listening')
    servers = [createServer((socket) => socket.end('hello')), createServer((socket) => socket.end('hello'))]
    ports = await Promise.all(
      servers.map(async (server) => {
        server.listen(0, gateway)
        await once(server, 'listening')
        return (server.address() as AddressInfo).port
      }),
    )
  })

  afterAll(async () => {
    for (const server of servers) server.close()
    names.close()
    await world[Symbol.asyncDispose]()
  })

  const start = (Labels: Record<string, string>) =>
    world.start('sleep 1000', { NetworkMode: 'bridge', Dns: [upstream] }, { Labels })
  const remove = (id: string) => world.engine.remove(id, { force: true, volumes: false })
  const get = async (id: string, host: string, port: number) =>
    (await world.exec(id, `nc -w 3 ${host} ${port} </dev/null 2>&1`)).output
  const rules = () =>
    ['inet', 'bridge']
      .map((family) => execFileSync('nft', ['list', 'table', family, `hf-${world.instance}`]).toString())
      .join()

  it('lets it reach what a name stands for, once that was resolved, and tells of the rest with container and rule', async () => {
    const [open, closed] = ports as [number, number]
    const id = await start({ [allow]: `one.test tcp ${open}` })
    expect(await get(id, gateway, open)).toContain('refused')
    expect(await get(id, 'one.test', open)).toBe('hello')
    expect(await get(id, gateway, open)).toBe('hello')
    expect(await get(id, 'one.test', closed)).toContain('refused')
    const told = {
      container: id,
      rule: 'nothing allows it',
      protocol: 'tcp',
      destination: gateway,
      port: closed,
    }
    await eventually(() =>
      world.log.some((line) => Object.entries(told).every(([key, value]) => JSON.parse(line)[key] === value)),
    )
    const { ipAddress } = world.engine.get(id).networks['bridge']!
    expect(rules()).toContain(ipAddress)
    await remove(id)
    await eventually(() => !rules().includes(ipAddress))
  })

  it('outlives the engine, and a shim that is killed, and goes on learning names', async () => {
    const [open, closed] = ports as [number, number]
    const id = await start({ [allow]: `one.test tcp ${open}, *.two.test tcp ${closed}`, [deny]: 'port 25' })
    expect(await get(id, 'one.test', open)).toBe('hello')
    await world.engine.close()
    await world.reopen()
    expect(await get(id, gateway, open)).toBe('hello')
    expect(await get(id, gateway, closed)).toContain('refused')
    process.kill(shimOf(id), 'SIGKILL')
    await eventually(async () => (await get(id, 'www.two.test', closed).catch(() => '')) === 'hello', 30_000)
    await remove(id)
  })

  it('is not there for other containers, nor for their names', async () => {
    const id = await world.start('sleep 1000', { NetworkMode: 'bridge', Dns: [upstream] })
    expect(await get(id, gateway, ports[1]!)).toBe('hello')
    expect((await world.exec(id, 'cat /etc/resolv.conf')).output).toContain(upstream)
    await remove(id)
  })

  it('that is wrong, or that nothing would enforce, is refused', async () => {
    const create = (label: string, text: string, NetworkMode: string) =>
      world.create('true', { NetworkMode }, { Labels: { [label]: text } })
    await expect(create(allow, 'one.test 443', 'bridge')).rejects.toMatchObject({ code: 'HF_BAD_REQUEST' })
    await expect(create(deny, '10.0.0.0/99', 'bridge')).rejects.toMatchObject({ code: 'HF_BAD_REQUEST' })
    await expect(create(deny, 'port 25', 'host')).rejects.toMatchObject({ code: 'HF_UNSUPPORTED' })
  })

  function shimOf(id: string): number {
    const title = `holdfast: shim ${world.engine.get(id).name}`
    const pid = readdirSync('/proc').find((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').startsWith(title)
      } catch {
        return false // no process, or one that has gone
      }
    })
    return Number(pid)
  }
})

/** An A record of 30 seconds to whatever is asked; nothing for other types. */
function answer(question: Buffer, address: string): Buffer {
  const end = question.indexOf(0, 12) + 5
  const isA = question.readUInt16BE(end - 4) === 1
  const head = Buffer.from(question.subarray(0, end))
  head.writeUInt16BE(0x8180, 2)
  head.writeUInt16BE(isA ? 1 : 0, 6)
  head.writeUInt32BE(0, 8) // no EDNS in it
  if (!isA) return head
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, ...address.split('.').map(Number)])
  return Buffer.concat([head, record])
}
