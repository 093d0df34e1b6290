/** Clients of the API socket that are slow, silent, malformed or hostile: each is on its own, and the others are served. */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { busyboxTar, eventually, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'

describe.skipIf(process.getuid?.() !== 0)('the API socket', { timeout: 60_000 }, () => {
  let supervisor: TestSupervisor
  beforeAll(async () => {
    supervisor = await TestSupervisor.start()
    using scratch = temporaryDirectory()
    await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox', busyboxTar(scratch.path))
  })
  afterAll(async () => {
    await supervisor?.[Symbol.asyncDispose]()
  })

  /** What is answered until the connection ends, or nothing has come for a while. */
  async function say(text: string | Buffer): Promise<string> {
    const socket = connect(supervisor.socket).on('error', () => {})
    let answer = ''
    const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()))
    socket.on('data', (data) => (answer += data.toString('latin1')))
    socket.write(text)
    await Promise.race([ended, eventually(() => answer.includes('\r\n\r\n')).catch(() => {})])
    socket.destroy()
    return answer
  }
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${supervisor.pid}/status`, 'latin1'))![1])

  it('serves others while a hundred say nothing, half a head, or half a body', async () => {
    const halves = [
      '',
      'GET /_pi',
      'POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"Im',
    ]
    const sockets: Socket[] = []
    for (let nth = 0; nth < 100; nth++) {
      const socket = connect(supervisor.socket).on('error', () => {})
      socket.write(halves[nth % halves.length]!)
      sockets.push(socket)
    }
    await delay(100)
    expect((await supervisor.request('GET', '/containers/json')).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    expect((await supervisor.request('GET', '/containers/json?all=1')).json).toEqual([])
  })

  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['binary', Buffer.from([0x16, 3, 1, 0, 0xff, 0, 0, 13, 10, 13, 10])],
    ['a bare line feed in a field', 'GET /_ping HTTP/1.1\r\nHost: a\nX: b\r\n\r\n'],
    [
      'two lengths',
      'POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
    ],
    ['a negative length', 'POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'],
    [
      'a chunk of no size',
      'POST /containers/create HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ],
    ['a head without end', `GET /_ping HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(300_000)}\r\n\r\n`],
  ])('answers what is no request with a refusal: %s', async (_, text) => {
    expect(await say(text)).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect((await supervisor.request('GET', '/_ping')).status).toBe(200)
  })

  it.each(['Upgrade: tcp\r\nConnection: Upgrade\r\n', ''])(
    'keeps no more of a body than it would take, whatever length is announced: %j',
    async (upgrade) => {
      const host = { NetworkMode: 'none' }
      const body = { Image: 'busybox', Cmd: ['/bin/sleep', '100'], HostConfig: host }
      const { Id } = (await supervisor.request('POST', '/containers/create', body)).json
      await supervisor.request('POST', `/containers/${Id}/start`)
      const exec = await supervisor.request('POST', `/containers/${Id}/exec`, { Cmd: ['/bin/true'] })
      const before = resident()
      const socket = connect(supervisor.socket).on('error', () => {})
      let answer = ''
      socket.on('data', (data) => (answer += data.toString('latin1')))
      socket.write(
        `POST /exec/${exec.json.Id}/start HTTP/1.1\r\nHost: a\r\n${upgrade}Content-Type: application/json\r\n` +
          'Content-Length: 900000000\r\n\r\n',
      )
      const spaces = Buffer.alloc(1 << 20, 0x20)
      for (let sent = 0; sent < 200 && !socket.destroyed; sent++)
        await Promise.race([new Promise((resolve) => socket.write(spaces, resolve)), delay(100)])
      await eventually(() => answer.startsWith('HTTP/1.1 400 '))
      expect(resident() - before).toBeLessThan(100_000) // KiB, of twice as many that were sent
      socket.destroy()
      await supervisor.request('DELETE', `/containers/${Id}?force=1`)
    },
  )

  it('takes names that mean something to JavaScript for names', async () => {
    const body = `{"Image":"busybox","Cmd":["/bin/true"],"__proto__":{"Tty":true},
      "Labels":{"__proto__":"a","constructor":"b","toString":"c"},
      "HostConfig":{"__proto__":{"Privileged":true},"constructor":{"prototype":{"Privileged":true}}}}`
    const created = await supervisor.request('POST', '/containers/create', Buffer.from(body))
    if (created.status === 201) {
      const { json } = await supervisor.request('GET', `/containers/${created.json.Id}/json`)
      expect(json).toMatchObject({ HostConfig: { Privileged: false }, Config: { Tty: false } })
      expect(json.Config.Labels).toMatchObject({ constructor: 'b', toString: 'c' })
    } else expect(created.status).toBeGreaterThanOrEqual(400)
    const next = await supervisor.request('POST', '/containers/create', {
      Image: 'busybox',
      Cmd: ['/bin/true'],
    })
    const { json } = await supervisor.request('GET', `/containers/${next.json.Id}/json`)
    expect(json).toMatchObject({ HostConfig: { Privileged: false }, Config: { Tty: false } })
  })

  it('belongs to a process that opens no debugger when it is sent SIGUSR1', async () => {
    process.kill(supervisor.pid, 'SIGUSR1')
    await supervisor.request('GET', '/_ping')
    await delay(300)
    expect(supervisor.output).not.toContain('Debugger listening')
    expect((await supervisor.request('GET', '/_ping')).status).toBe(200)
  })
})
