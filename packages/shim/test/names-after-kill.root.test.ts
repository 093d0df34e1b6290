import { execFileSync } from 'node:child_process'
import { closeSync } from 'node:fs'
import { eventually } from '@holdfast/testkit'
import { connectIn, createNamespace, openDatagrams, openNamespaceOf } from '@holdfast/core'
import type { DnsSpec } from '@holdfast/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { World, type Running } from './world.ts'

const id = 'a'.repeat(64)
const dns: DnsSpec = {
  table: { ttl: 30, hosts: [{ id, names: ['db'], addresses: ['10.9.9.9'] }] },
  upstreams: [],
}
/** What is db's A record? */
const question = Buffer.from('1234010000010000000000000264620000010001', 'hex')
const answered = /^1234.*0a090909$/
const resolver = { address: '127.0.0.11', port: 53 }

describe.skipIf(process.getuid?.() !== 0)('names of a shim that was killed', { timeout: 60_000 }, () => {
  let world: World
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world.close())

  /** Its network namespace stays open until the test closes it. */
  async function start(): Promise<{ run: Running; init: number; netns: number }> {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid } = await run.client.request('state', {})
    const netns = openNamespaceOf(pid, 'net')
    enter(pid, 'ip link set lo up')
    await run.client.request('dns.set', { dns })
    return { run, init: pid, netns }
  }

  const enter = (pid: number, command: string) =>
    execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...command.split(' ')]).toString()

  /** One question, sent once; as hex what comes back, or the error's code. */
  function ask(netns: number): Promise<string> {
    return new Promise((resolve) => {
      const end = (what: string) => {
        socket.close()
        resolve(what)
      }
      const socket = openDatagrams(
        { netns, connect: resolver },
        { onMessage: (message) => end(Buffer.from(message).toString('hex')), onError: end },
      )
      socket.send(question)
    })
  }

  function askByTcp(netns: number): Promise<string> {
    return new Promise((resolve) => {
      const socket = connectIn({ netns, ...resolver })
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(String(code)))
      socket.on('data', (data: Buffer) => {
        resolve(data.subarray(2).toString('hex'))
        socket.destroy()
      })
      socket.write(Buffer.concat([Buffer.of(0, question.length), question]))
    })
  }

  /** Bytes of questions that nobody has read yet, by ss(8). */
  const waiting = (pid: number, kind: 'u' | 't') =>
    enter(pid, `ss -Hn${kind}a src 127.0.0.11`)
      .split('\n')
      .reduce((sum, line) => sum + Number(line.split(/\s+/)[1] ?? 0), 0)

  it('are answered by the next one: a question waits for it, by udp and by tcp, again and again', async () => {
    const { run, init, netns } = await start()
    let last = run
    for (let round = 0; round < 3; round++) {
      await last.killShim()
      const answers = Promise.all([ask(netns), ask(netns), askByTcp(netns)])
      await eventually(() => waiting(init, 'u') > 0 && waiting(init, 't') > 0)
      last = await world.adopt(last.bundle)
      for (const answer of await answers) expect(answer).toMatch(answered)
    }
    closeSync(netns)
    await last.delete()
  })

  it('are refused at once when they were taken away, before or after', async () => {
    const { run, netns } = await start()
    expect(await ask(netns)).toMatch(answered)
    await run.client.request('dns.set', { dns: null })
    expect(await ask(netns)).toBe('ECONNREFUSED')
    await run.killShim()
    expect(await ask(netns)).toBe('ECONNREFUSED')
    const next = await world.adopt(run.bundle)
    await next.client.request('dns.set', { dns })
    await next.killShim()
    const last = await world.adopt(next.bundle)
    expect(await ask(netns)).toMatch(answered)
    await last.client.request('dns.set', { dns: null })
    expect(await ask(netns)).toBe('ECONNREFUSED')
    expect(await askByTcp(netns)).toBe('ECONNREFUSED')
    closeSync(netns)
    await last.delete()
  })

  it('keep no network of a container that ends, whether there is a shim or not', async () => {
    const host = createNamespace('net')
    const inHost = (command: string) =>
      execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${host}`, ...command.split(' ')]).toString()
    for (const withShim of [true, false]) {
      const { run, init, netns } = await start()
      closeSync(netns)
      await run.killShim()
      const next = withShim ? await world.adopt(run.bundle) : undefined
      if (next) await next.client.request('state', {})
      inHost(`ip link add v${init} type veth peer name inside netns ${init}`)
      process.kill(init, 'SIGKILL')
      await eventually(() => !inHost('ip -o link').includes(`v${init}`))
      await (next ?? (await world.adopt(run.bundle))).delete()
    }
    closeSync(host)
  })
})
