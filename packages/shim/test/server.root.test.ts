import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { encodeStream, encodeWindow, protocolVersion, streamWindow, type ShimState } from '@holdfast/protocol'
import { Control, type Handlers } from '../src/control.ts'
import { checkSocketPath, serve, type ShimServer } from '../src/server.ts'

const run = promisify(execFile)
const token = 'ab'.repeat(32)

describe.skipIf(process.getuid?.() !== 0)("the shim's socket", () => {
  let dir: string
  let path: string
  let server: ShimServer
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hf-server-'))
    path = join(dir, 'shim.sock')
    const handlers: Partial<Handlers> = {
      state: async () => ({}) as ShimState,
      attach: async ({ channel }, channels) => (channels.open(channel), {}),
    }
    const control = new Control(handlers as Handlers, () => {})
    server = await serve(path, token, (socket, wire) => control.accept(socket, wire))
  })
  afterAll(async () => {
    await server.close(0)
    rmSync(dir, { recursive: true })
  })

  function open(url = '/control', headers: Record<string, string> = {}): WebSocket {
    return new WebSocket(`ws://shim${url}`, {
      createConnection: () => connect(path),
      headers: { authorization: `Bearer ${token}`, ...headers },
    })
  }

  /** The status with which a connection is refused. */
  function refusal(socket: WebSocket): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      socket.once('unexpected-response', (_request, response) => resolve(response.statusCode))
      socket.once('open', () => reject(new Error('it was let in')))
      socket.once('error', reject)
    })
  }

  const closing = (socket: WebSocket) => new Promise<number>((resolve) => socket.once('close', resolve))
  const answer = (socket: WebSocket) =>
    new Promise<string>((resolve) => socket.once('message', (data: Buffer) => resolve(data.toString())))

  async function send(text: string): Promise<WebSocket> {
    const socket = open()
    await new Promise((resolve) => socket.once('open', resolve))
    socket.send(text)
    return socket
  }

  const attach = { channel: 1, stdin: true, stdout: true, stderr: true, logs: false }

  async function attached(): Promise<WebSocket> {
    const hello = { id: 1, method: 'hello', params: { protocol: protocolVersion } }
    const socket = await send(JSON.stringify(hello))
    await answer(socket)
    socket.send(JSON.stringify({ id: 2, method: 'attach', params: attach }))
    expect(JSON.parse(await answer(socket))).toMatchObject({ id: 2, result: {} })
    return socket
  }

  it('belongs to root alone from birth', () => {
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('lets in only who knows the token', async () => {
    expect(await refusal(open('/control', { authorization: `Bearer ${'0'.repeat(64)}` }))).toBe(403)
    expect(await refusal(open('/control', { authorization: '' }))).toBe(403)
  })

  it('refuses browsers', async () => {
    expect(await refusal(open('/control', { origin: 'http://localhost' }))).toBe(403)
  })

  it('hangs up on another user before a byte is read', async () => {
    chmodSync(dir, 0o755)
    chmodSync(path, 0o666)
    const script = `
      const socket = require('net').connect(process.argv[1])
      for (const name of ['error', 'data']) socket.on(name, (what) => console.log(what.code ?? String(what)))
      socket.on('close', () => console.log('closed'))
      socket.write('GET / HTTP/1.1\\r\\n\\r\\n')`
    const { stdout } = await run(process.execPath, ['-e', script, path], { uid: 65534, gid: 65534 })
    chmodSync(path, 0o600)
    expect(stdout).toMatch(/^(EPIPE\n|ECONNRESET\n)?closed\n$/)
  })

  it('refuses an unknown path', async () => {
    expect(await refusal(open('/elsewhere'))).toBe(400)
  })

  it('wants hello first, in a version that it speaks', async () => {
    const early = await send('{"id":1,"method":"state"}')
    expect(JSON.parse(await answer(early))).toMatchObject({ id: 1, error: { code: 'HF_PROTOCOL' } })
    early.close()
    const old = await send('{"id":2,"method":"hello","params":{"protocol":0}}')
    expect(JSON.parse(await answer(old))).toMatchObject({ error: { code: 'HF_PROTOCOL' } })
    old.close()
    const good = await send(JSON.stringify({ id: 3, method: 'hello', params: { protocol: protocolVersion } }))
    expect(JSON.parse(await answer(good))).toMatchObject({ id: 3, result: { protocol: protocolVersion } })
    good.close()
  })

  it('ends a connection that sends what is no request, and no other', async () => {
    const good = await send(JSON.stringify({ id: 1, method: 'hello', params: { protocol: protocolVersion } }))
    await answer(good)
    expect(await closing(await send('not JSON'))).toBe(1002)
    expect(await closing(await send('x'.repeat((1 << 20) + 1)))).toBe(1009)
    good.send('{"id":2,"method":"state"}')
    expect(JSON.parse(await answer(good))).toMatchObject({ id: 2 })
    good.close()
  })

  it('ends a connection that sends more than it was given room for, or makes room for what it never got', async () => {
    const good = await attached()
    const flood = await attached()
    for (let sent = 0; sent <= streamWindow; sent += 65_536)
      flood.send(encodeStream(1, 'stdin', Buffer.alloc(65_536)))
    expect(await closing(flood)).toBe(1002)
    const generous = await attached()
    generous.send(encodeWindow(1, 1))
    expect(await closing(generous)).toBe(1002)
    const backwards = await attached()
    backwards.send(encodeStream(1, 'stdout', Buffer.from('x')))
    expect(await closing(backwards)).toBe(1002)
    good.send('{"id":3,"method":"state"}')
    expect(JSON.parse(await answer(good))).toMatchObject({ id: 3 })
    good.close()
  })

  it('gives a channel to one client only', async () => {
    const socket = await attached()
    socket.send(JSON.stringify({ id: 3, method: 'attach', params: attach }))
    expect(JSON.parse(await answer(socket))).toMatchObject({ id: 3, error: { code: 'HF_BAD_REQUEST' } })
    socket.close()
  })

  it('is refused where its path would be cut', () => {
    expect(() => checkSocketPath(`/${'x'.repeat(107)}`)).toThrow('at most 107 bytes')
    checkSocketPath(`/${'x'.repeat(106)}`)
  })
})
