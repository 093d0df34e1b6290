import { existsSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inNetns } from '../src/netns.ts'
import { CniHost, port, publish } from './cni-fixture.ts'
import { attempt, run } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const IPPROTO_SCTP = 132
// Node has no SCTP. The module beneath Python's sockets is in its smallest package.
const hasSctp = existsSync('/proc/sys/net/sctp') && existsSync('/usr/bin/python3')

/** Answers each association with `NAME PEER-ADDRESS`. */
async function serveSctp(netns: number, name: string): Promise<{ stop: () => void }> {
  const program = `
import _socket, os
s = _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM, ${IPPROTO_SCTP})
s.bind(('::', 80))
s.listen(9)
os.write(1, b'ready')
while True:
    fd, peer = s._accept()
    os.write(fd, ('${name} ' + peer[0]).encode())
    os.close(fd)`
  const child = inNetns(netns, () =>
    spawn('/usr/bin/python3', ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'] }),
  )
  await once(child.stdout, 'data')
  return { stop: () => child.kill() }
}

/** What was answered; empty where nobody did. */
async function fetchSctp(netns: number, address: string, at: number): Promise<string> {
  const program = `
import _socket
s = _socket.socket(_socket.AF_INET${address.includes(':') ? 6 : ''}, _socket.SOCK_STREAM, ${IPPROTO_SCTP})
s.settimeout(5)
s.connect(('${address}', ${at}))
print(s.recv(99).decode())`
  return (await attempt(netns, `/usr/bin/python3 -c "${program}"`)).stdout
}

describe.skipIf(process.getuid?.() !== 0 || !hasSctp)('sctp', { timeout: 240_000 }, () => {
  it('is published like the others: to the host, from outside, by IPv6, from a neighbour; and withdrawn', async () => {
    const [a, b, outside] = [host.namespace(), host.namespace(), await host.neighbour()]
    const config = host.config(publish(port(8080, { protocol: 'sctp' })))
    const prevResult = await host.succeed('ADD', { id: 'a', netns: a, config })
    await host.succeed('ADD', { id: 'b', netns: b })
    const server = await serveSctp(a, 'web')
    try {
      expect(await fetchSctp(b, '10.77.0.2', 80)).toBe('web ::ffff:10.77.0.3')
      expect(await fetchSctp(outside, '192.0.2.1', 8080)).toBe('web ::ffff:192.0.2.2')
      expect(await fetchSctp(outside, 'fd00:2::1', 8080)).toBe('web fd00:2::2')
      expect(await fetchSctp(host.netns, '192.0.2.1', 8080)).toMatch(/^web /)
      expect(await fetchSctp(host.netns, '127.0.0.1', 8080)).toMatch(/^web /)
      expect(await fetchSctp(b, '10.77.0.1', 8080)).toMatch(/^web /)
      expect(await fetchSctp(a, '10.77.0.1', 8080)).toMatch(/^web /)
      await host.run('nft flush ruleset')
      expect(await fetchSctp(outside, '192.0.2.1', 8080)).toBe('')
      await host.succeed('CHECK', { id: 'a', netns: a, config: { ...config, prevResult } })
      expect(await fetchSctp(outside, '192.0.2.1', 8080)).toBe('web ::ffff:192.0.2.2')
      await host.succeed('DEL', { id: 'a', netns: a, config })
      expect(await fetchSctp(outside, '192.0.2.1', 8080)).toBe('')
    } finally {
      server.stop()
    }
  })

  it('of a container gets out, masqueraded', async () => {
    const [a, outside] = [host.namespace(), await host.neighbour()]
    await host.succeed('ADD', { netns: a })
    await run(outside, 'ip route del 10.77.0.0/16')
    const server = await serveSctp(outside, 'far')
    try {
      expect(await fetchSctp(a, '192.0.2.2', 80)).toBe('far ::ffff:192.0.2.1')
    } finally {
      server.stop()
    }
  })
})
