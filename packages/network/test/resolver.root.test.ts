import { once } from 'node:events'
import { closeSync, readdirSync } from 'node:fs'
import { connectIn, createNamespace, listenIn } from '@holdfast/core'
import { describe, expect, it } from 'vitest'
import { openResolver, type DnsTable, type ResolverOptions } from '../src/index.ts'
import { attempt, fetchUdp, run, udpSocket } from './network-fixture.ts'
import { reply, UpstreamServer, type Question } from './upstream-server.ts'

const id = '0123456789ab'.padEnd(64, 'c')
const table: DnsTable = {
  ttl: 60,
  hosts: [
    { id, names: ['web', 'www'], domain: 'shop', addresses: ['10.213.1.5', 'fd00:1::5'] },
    { id: 'd'.repeat(64), names: ['db'], domain: 'shop', addresses: ['10.213.1.6'] },
  ],
  local: ['shop', '10.213.1.0/24'],
}

const manyHosts: DnsTable = {
  ttl: 1,
  hosts: Array.from({ length: 400 }, (_, each) => ({
    id: `${each}`,
    names: ['many'],
    addresses: [`10.9.${each >> 8}.${each & 255}`],
  })),
}

class World implements Disposable {
  readonly netns = createNamespace('net')
  readonly resolver

  private constructor(options: Partial<ResolverOptions>) {
    this.resolver = openResolver({ netns: this.netns, table, upstreams: [], timeoutMs: 150, ...options })
  }

  static async open(options: Partial<ResolverOptions> = {}): Promise<World> {
    const world = new World(options)
    await run(world.netns, 'ip link set lo up')
    return world
  }

  /** busybox nslookup: asks for A and AAAA, by udp. */
  nslookup(name: string) {
    return attempt(this.netns, `busybox nslookup ${name} 127.0.0.11`)
  }

  /** Node's own resolver (c-ares), in the namespace. */
  async node(expression: string, netns = this.netns): Promise<unknown> {
    const script = `const dns=new (require('node:dns').promises.Resolver)({timeout:4000,tries:1});
      dns.setServers(['127.0.0.11']);
      (async()=>${expression})().then((found)=>console.log(JSON.stringify(found)),(e)=>console.log(JSON.stringify(e.code)))`
    return JSON.parse(await run(netns, `exec ${process.execPath} -e "${script.replaceAll('"', '\\"')}"`))
  }

  [Symbol.dispose](): void {
    this.resolver.close()
    closeSync(this.netns)
  }
}

const server = (behave: (question: Question) => Buffer | undefined) =>
  UpstreamServer.start('127.0.0.1', behave)
const at = ({ port }: UpstreamServer) => ({ address: '127.0.0.1', port })

describe.skipIf(process.getuid?.() !== 0)('a resolver in a network namespace', () => {
  it('answers busybox: names, aliases, ids, domains, and the name of an address', async () => {
    using world = await World.open()
    for (const name of ['web', 'WWW', 'web.shop', id.slice(0, 12)]) {
      const { status, stdout } = await world.nslookup(name)
      expect({ status, name }).toEqual({ status: 0, name })
      expect(stdout).toContain('Address: 10.213.1.5')
      expect(stdout).toContain('Address: fd00:1::5')
    }
    expect((await world.nslookup('10.213.1.5')).stdout).toContain('name = web.shop')
    expect((await world.nslookup('nobody.shop')).stdout).toContain('NXDOMAIN')
  })

  it("answers Node's resolver, over udp and tcp, and says ENODATA for a family that a name lacks", async () => {
    using world = await World.open()
    expect(await world.node(`dns.resolve4('web')`)).toEqual(['10.213.1.5'])
    expect(await world.node(`dns.resolve6('web')`)).toEqual(['fd00:1::5'])
    expect(await world.node(`dns.resolve6('db')`)).toBe('ENODATA')
    expect(await world.node(`dns.resolve4('nobody.shop')`)).toBe('ENOTFOUND')
    expect(await world.node(`dns.reverse('10.213.1.6')`)).toEqual(['db.shop'])
    world.resolver.setTable(manyHosts)
    // More than fits into any udp answer that c-ares takes: it comes again by tcp.
    expect(await world.node(`dns.resolve4('many').then((all)=>new Set(all).size)`)).toBe(400)
    expect(await world.node(`dns.resolve4('web')`)).toBe('ESERVFAIL') // no upstream
  })

  it('asks upstream servers what it does not know, and tells of their answers before the client hears', async () => {
    await using upstream = await server((question) =>
      reply(question, question.type === 1 ? ['192.0.2.7', '192.0.2.8'] : []),
    )
    const order: string[] = []
    using world = await World.open({
      upstreams: [at(upstream)],
      onAnswer: async ({ name, addresses, ttl }) => {
        await Promise.resolve()
        order.push(`${name} ${addresses.join()} ${ttl}`)
      },
    })
    expect(await world.node(`dns.resolve4('Example.COM')`)).toEqual(['192.0.2.7', '192.0.2.8'])
    expect(order).toEqual(['example.com 192.0.2.7,192.0.2.8 60'])
    expect(await world.node(`dns.resolve4('web')`)).toEqual(['10.213.1.5'])
    expect(upstream.questions.map(({ name, transport }) => `${name} ${transport}`)).toEqual([
      'example.com udp',
    ])
  })

  it('gives the answer even where who is told of it fails', async () => {
    await using upstream = await server((question) => reply(question, ['192.0.2.7']))
    const problems: string[] = []
    using world = await World.open({
      upstreams: [at(upstream)],
      onAnswer: () => Promise.reject(new Error('full')),
      onProblem: (message) => problems.push(message),
    })
    expect(await world.node(`dns.resolve4('example.com')`)).toEqual(['192.0.2.7'])
    expect(problems).toEqual(['onAnswer of example.com: full'])
  })

  it('asks the next server when one is silent, refuses or is not there', async () => {
    await using good = await server((question) => reply(question, ['192.0.2.9']))
    await using silent = await server(() => undefined)
    await using broken = await server((question) => reply(question, [], 0x8182))
    const gone = await server(() => undefined)
    await gone[Symbol.asyncDispose]()
    for (const bad of [silent, broken, gone]) {
      using world = await World.open({ upstreams: [at(bad), at(good)] })
      expect(await world.node(`dns.resolve4('example.com')`)).toEqual(['192.0.2.9'])
    }
    using world = await World.open({ upstreams: [at(silent)] })
    expect(await world.node(`dns.resolve4('example.com')`)).toBe('ESERVFAIL')
    expect(silent.questions.filter(({ name }) => name === 'example.com').length).toBe(3) // once, and two rounds
  })

  it('asks again by tcp where an answer was cut off', async () => {
    await using upstream = await server((question) =>
      question.transport === 'udp' ? reply(question, [], 0x8380) : reply(question, ['192.0.2.10']),
    )
    using world = await World.open({ upstreams: [at(upstream)] })
    // This client would never come by tcp itself.
    expect((await world.nslookup('-type=a example.com')).stdout).toContain('Address: 192.0.2.10')
    expect(upstream.questions.map(({ transport }) => transport)).toEqual(['udp', 'tcp'])
  })

  it('does not take an answer with another id or to another question', async () => {
    await using upstream = await server((question) => {
      const wrong = reply(question, ['6.6.6.6'])
      if (upstream.questions.length === 1) wrong[0]! ^= 0xff
      else wrong[13]! ^= 0x01
      return upstream.questions.length < 3 ? wrong : reply(question, ['192.0.2.11'])
    })
    using world = await World.open({ upstreams: [at(upstream), at(upstream)] })
    expect(await world.node(`dns.resolve4('example.com')`)).toEqual(['192.0.2.11'])
    expect(upstream.questions).toHaveLength(3)
  })

  it("asks from the container's network where it is told to", async () => {
    using inner = await World.open()
    using world = await World.open({
      netns: inner.netns,
      address: '127.0.0.12',
      table: { ttl: 1, hosts: [] },
      upstreams: [{ address: '127.0.0.11', from: 'container' }],
    })
    expect((await attempt(inner.netns, 'busybox nslookup web 127.0.0.12')).stdout).toContain('10.213.1.5')
    expect(world.netns).not.toBe(inner.netns)
  })

  it('is not put off by malformed questions, and leaves no descriptor when it is closed', async () => {
    await using upstream = await server(() => undefined)
    const before = readdirSync('/proc/self/fd').length
    {
      using world = await World.open({ upstreams: [at(upstream)] })
      const script = `const s=require('node:dgram').createSocket('udp4'); let left=2000
        const seed=Buffer.from('12340100000100000000000003776562000001000100','hex')
        const next=()=>{ for(let i=0;i<50&&left>0;i++,left--){ const m=Buffer.from(seed); for(let c=0;c<1+left%5;c++) m[Math.floor(Math.random()*m.length)]=Math.floor(Math.random()*256)
          s.send(m.subarray(0,Math.floor(Math.random()*(m.length+1))),53,'127.0.0.11') } left>0?setTimeout(next,1):setTimeout(()=>s.close(),20) }
        next()`
      await run(world.netns, `exec ${process.execPath} -e "${script.replaceAll('"', '\\"')}"`)
      const stream = connectIn({ netns: world.netns, address: '127.0.0.11', port: 53 })
      stream.write(Buffer.from([0, 3, 1, 2, 3, 0xff, 0xff, 4])) // no message; then one that is far too long
      await once(stream.resume(), 'end', { signal: AbortSignal.timeout(5_000) })
      stream.destroy()
      expect(await world.node(`dns.resolve4('web')`)).toEqual(['10.213.1.5'])
    }
    expect(readdirSync('/proc/self/fd')).toHaveLength(before)
  })

  it('leaves port 53 of all addresses to who wants it, and is asked at 127.0.0.11 all the same', async () => {
    const netns = createNamespace('net')
    await run(netns, 'ip link set lo up')
    // One was there before, one comes later.
    const udp = await udpSocket(netns, '0.0.0.0', 53)
    udp.on('message', (_, peer) => udp.send('of its own', peer.port, peer.address))
    using world = await World.open({ netns })
    const tcp = listenIn({ netns, address: '0.0.0.0', port: 53 }, (stream) => stream.end('of its own'))
    try {
      expect(await world.node(`dns.resolve4('web')`, netns)).toEqual(['10.213.1.5'])
      expect(await fetchUdp(netns, '127.0.0.1', 53)).toBe('of its own')
      expect((await attempt(netns, 'busybox nc -w 2 127.0.0.1 53 </dev/null')).stdout).toBe('of its own')
      world.resolver.setTable(manyHosts) // too many for udp
      expect(await world.node(`dns.resolve4('many').then((all)=>new Set(all).size)`, netns)).toBe(400)
      // A client that is connected hears of no answer from elsewhere.
      expect(await run(netns, 'ss -Hlnu src 127.0.0.11')).toMatch(/127\.0\.0\.11:6\d{4}/)
    } finally {
      tcp.close()
      udp.close()
      closeSync(netns)
    }
  })

  it('goes on under rules of the container’s, its connection tracking, and a flush of them', async () => {
    using world = await World.open()
    await run(
      world.netns,
      `nft -f - <<END
      add table inet own
      add chain inet own output { type filter hook output priority 0; policy drop; }
      add rule inet own output ct state established accept
      add rule inet own output meta l4proto { tcp, udp } th dport 53 ct state new accept
END`,
    )
    world.resolver.setTable(manyHosts)
    expect(await world.node(`dns.resolve4('many').then((all)=>new Set(all).size)`)).toBe(400) // udp, then tcp
    await run(world.netns, 'nft flush ruleset')
    expect(await run(world.netns, 'nft list tables')).toBe('table ip holdfast-127.0.0.11')
    expect(await world.node(`dns.resolve4('many').then((all)=>new Set(all).size)`)).toBe(400)
    world.resolver.close()
    expect(await run(world.netns, 'nft list tables')).toBe('')
  })

  it('says so where another one answers there already', async () => {
    using world = await World.open()
    expect(() => openResolver({ netns: world.netns, table, upstreams: [] })).toThrow(
      /127\.0\.0\.11:53.*EADDRINUSE/,
    )
  })
})
