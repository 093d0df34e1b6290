import { HoldfastError } from '@holdfast/errors'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { MemoryEngine } from './memory-engine.test-support.ts'
import { serveApi, type ApiServer } from './serve.ts'

const silent = { error: () => {}, warn: () => {}, debug: () => {} }

let directory: string
let path: string
let engine: MemoryEngine
let server: ApiServer

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'hf-api-'))
  path = join(directory, 'api.sock')
  engine = new MemoryEngine()
  server = await serveApi({ engine, hosts: [`unix://${path}`], logger: silent, version: '0.1.0' })
})

afterEach(async () => {
  await server.close()
  rmSync(directory, { recursive: true })
})

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
  json: any
}

function ask(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body)
    const type =
      sent === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }
    const message = request({
      socketPath: path,
      method,
      path: url,
      agent: false,
      headers: { ...type, ...headers },
    })
    message.on('error', reject)
    message.on('response', (response) => {
      text(response).then((answer) => {
        const isJson = String(response.headers['content-type']).startsWith('application/json')
        const status = response.statusCode ?? 0
        resolve({
          status,
          headers: response.headers,
          body: answer,
          json: isJson ? JSON.parse(answer) : undefined,
        })
      }, reject)
    })
    message.end(sent)
  })
}

/** A bare connection, and a way to wait until what came matches. */
class RawClient {
  readonly socket: Socket = connect({ path, allowHalfOpen: true })
  received = Buffer.alloc(0)
  ended = false
  #wake = () => {}

  constructor() {
    this.socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk])
      this.#wake()
    })
    this.socket.on('end', () => {
      this.ended = true
      this.#wake()
    })
  }

  async until(condition: (client: this) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** What came after the headers. */
  get stream(): Buffer {
    return this.received.subarray(this.received.indexOf('\r\n\r\n') + 4)
  }

  get head(): string {
    return this.received.subarray(0, this.received.indexOf('\r\n\r\n')).toString()
  }
}

/** What arrives on a connection after `request`, in the pieces in which it is read. */
async function chunksOf(request: string): Promise<string[]> {
  const socket = connect({ path, allowHalfOpen: true })
  const chunks: string[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk.toString('latin1')))
  socket.write(request)
  await once(socket, 'end')
  socket.destroy()
  return chunks
}

async function created(cmd: string[], more: object = {}): Promise<string> {
  const { json } = await ask('POST', '/containers/create', { Image: 'busybox', Cmd: cmd, ...more })
  return json.Id as string
}

describe('versions and headers', () => {
  it('takes a name with a slash for that of a container', async () => {
    for (const [method, path] of [
      ['GET', '/containers/a/b/json'],
      ['DELETE', '/containers/a/b'],
    ] as const) {
      expect(await ask(method, path)).toMatchObject({
        status: 404,
        json: { message: 'No such container: a/b' },
      })
    }
  })

  it('takes a whole URL for its path, as proxies are asked', async () => {
    expect(await ask('GET', 'http://docker/v1.41/_ping')).toMatchObject({ status: 200, body: 'OK' })
    expect(await ask('GET', 'http://docker/containers/json?limit=x')).toMatchObject({ status: 400 })
    expect(await ask('GET', 'http://docker')).toMatchObject({ status: 404 })
  })

  it.each([
    ['GET', '/containers/json?all=%zz', 400, 'invalid URL escape "%zz"'],
    ['GET', '/containers/json?all=1;limit=1', 400, 'invalid semicolon separator in query'],
    ['DELETE', '/containers/', 400, 'invalid name or ID supplied: ""'],
    ['DELETE', '/images/', 400, 'image name cannot be blank'],
    ['DELETE', '/networks/', 400, 'network name cannot be blank'],
    ['DELETE', '/containers', 404, 'page not found'],
  ])('refuses %s %s as dockerd does', async (method, url, status, message) => {
    const answer = await ask(method, url)
    expect(answer.status).toBe(status)
    expect(answer.json.message).toContain(message)
  })

  it('says that a head is too long, and takes null for an empty body where Go does', async () => {
    expect(await ask('GET', `/_ping?${'a'.repeat(300_000)}`)).toMatchObject({ status: 431 })
    expect(await ask('POST', '/volumes/create', 'null')).toMatchObject({ status: 201 })
  })

  it('answers unversioned paths and every version from 1.24 to 1.51', async () => {
    for (const prefix of ['', '/v1.24', '/v1.41', '/v1.51']) {
      const answer = await ask('GET', `${prefix}/_ping`)
      expect(answer).toMatchObject({
        status: 200,
        body: 'OK',
        headers: { 'api-version': '1.51', ostype: 'linux' },
      })
      expect(answer.headers).toMatchObject({
        'docker-experimental': 'false',
        server: 'Holdfast/0.1.0 (linux)',
      })
    }
  })

  it.each([
    ['/v1.99/info', 'client version 1.99 is too new. Maximum supported API version is 1.51'],
    ['/v2.0/info', 'client version 2.0 is too new. Maximum supported API version is 1.51'],
    [
      '/v1.23/info',
      /^client version 1\.23 is too old\. Minimum supported API version is 1\.24, please upgrade/,
    ],
  ])('refuses %s with 400', async (url, message) => {
    const { status, json } = await ask('GET', url)
    expect(status).toBe(400)
    expect(json.message).toMatch(message)
  })

  it('answers 404 "page not found" for a route that is not there, with the standard headers', async () => {
    expect(await ask('GET', '/nosuch')).toMatchObject({ status: 404, json: { message: 'page not found' } })
    expect(await ask('PATCH', '/info')).toMatchObject({ status: 404, headers: { 'api-version': '1.51' } })
  })

  it('redirects an unclean path as Go does', async () => {
    const { status, headers } = await ask('GET', '/v1.41/images/a//../b/json?x=1')
    expect({ status, location: headers['location'] }).toEqual({
      status: 301,
      location: '/v1.41/images/b/json?x=1',
    })
  })

  it('names what is not built yet with 501', async () => {
    expect(await ask('POST', '/build')).toMatchObject({
      status: 501,
      json: { message: 'not built yet: building images' },
    })
    expect(await ask('GET', '/nodes')).toMatchObject({ status: 503 })
  })
})

describe('what is let in', () => {
  it('keeps the socket to root and its group', () => {
    expect(statSync(path).mode & 0o777).toBe(0o660)
  })

  it('refuses what a browser could be made to send', async () => {
    expect((await ask('GET', '/info', undefined, { origin: 'http://evil.example' })).status).toBe(403)
    expect((await ask('GET', '/info', undefined, { host: 'evil.example' })).status).toBe(403)
    for (const host of [
      'docker',
      'localhost:2375',
      'api.moby.localhost',
      '127.0.0.1',
      '[::1]:80',
      '%2Frun%2Fx.sock',
    ]) {
      expect((await ask('GET', '/_ping', undefined, { host })).status).toBe(200)
    }
  })

  it('refuses Content-Length together with Transfer-Encoding', async () => {
    const client = new RawClient()
    client.socket.write(
      'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    )
    await client.until(({ ended }) => ended)
    expect(client.head).toMatch(/^HTTP\/1\.1 400 /)
    expect(engine.calls).toEqual([])
  })

  it('refuses bodies that are too long, no JSON, no object, or of another type, and creates nothing', async () => {
    const tooLong = await ask('POST', '/containers/create', `"${'x'.repeat(4 * 1024 * 1024)}"`)
    expect(tooLong).toMatchObject({ status: 400, json: { message: 'the body is longer than 4194304 bytes' } })
    expect(await ask('POST', '/containers/create', '{')).toMatchObject({ status: 400 })
    expect(await ask('POST', '/containers/create', '[]')).toMatchObject({ status: 400 })
    expect(await ask('POST', '/containers/create')).toMatchObject({ status: 400 })
    const plain = await ask('POST', '/containers/create', '{}', { 'content-type': 'text/plain' })
    expect(plain.json.message).toContain("must be 'application/json'")
    expect(engine.calls).toEqual([])
  })

  it('refuses a socket path that the kernel would cut off, and TCP', async () => {
    const serve = (host: string) => serveApi({ engine, hosts: [host], logger: silent, version: '' })
    await expect(serve(`unix:///tmp/${'x'.repeat(110)}`)).rejects.toMatchObject({ code: 'HF_BAD_REQUEST' })
    await expect(serve('tcp://127.0.0.1:2375')).rejects.toMatchObject({ code: 'HF_UNSUPPORTED' })
  })

  it('refuses a socket that another server listens on, and takes over one left by a dead server', async () => {
    const serve = () => serveApi({ engine, hosts: [`unix://${path}`], logger: silent, version: '' })
    await expect(serve()).rejects.toMatchObject({ message: `another server is listening on ${path}` })
    expect((await ask('GET', '/_ping')).status).toBe(200)
  })
})

describe('requests', () => {
  it('serves one keep-alive connection through a whole life', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const sockets = new Set<unknown>()
    const step = (method: string, url: string, body?: object) =>
      new Promise<{ status: number; body: string }>((resolve, reject) => {
        const message = request({ socketPath: path, method, path: url, agent }, (response) => {
          sockets.add(response.socket)
          text(response).then((answer) => resolve({ status: response.statusCode ?? 0, body: answer }), reject)
        })
        if (body) message.setHeader('content-type', 'application/json')
        message.end(body && JSON.stringify(body))
      })
    const { Id } = JSON.parse(
      (await step('POST', '/containers/create?name=/one', { Image: 'busybox', Cmd: ['both'] })).body,
    )
    expect((await step('POST', `/containers/${Id}/start`)).status).toBe(204)
    expect(await step('POST', `/v1.51/containers/one/wait`)).toEqual({
      status: 200,
      body: '{"StatusCode":3}\n',
    })
    expect((await step('POST', `/v1.41/containers/one/wait`)).body).toBe('{"Error":null,"StatusCode":3}\n')
    expect((await step('POST', `/containers/${Id}/stop`)).status).toBe(304)
    expect((await step('DELETE', `/containers/${Id}?v=1`)).status).toBe(204)
    expect(sockets.size).toBe(1)
    agent.destroy()
  })

  it('sends the headers of wait before the container has even started', async () => {
    const id = await created(['echo', 'x'])
    const client = new RawClient()
    client.socket.write(`POST /containers/${id}/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n`)
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    expect(client.head).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(client.stream.toString()).toBe('')
    await ask('POST', `/containers/${id}/start`)
    await client.until(({ received }) => received.includes('StatusCode'))
    expect(client.stream.toString()).toContain('{"StatusCode":0}')
    client.socket.destroy()
  })

  it('ignores query keys it does not know', async () => {
    const { status } = await ask('POST', '/containers/create?AttachStdin=true&Cmd=x', { Image: 'busybox' })
    expect(status).toBe(201)
  })

  it('answers a missing container and a missing image in the words that docker looks for', async () => {
    expect(await ask('GET', '/containers/nosuch/json')).toMatchObject({
      status: 404,
      json: { message: 'No such container: nosuch' },
    })
    expect((await ask('POST', '/containers/create', { Image: 'nosuch' })).status).toBe(404)
    const pull = await ask('POST', '/images/create?fromImage=docker.io/library/nosuch&tag=latest')
    expect(pull).toMatchObject({ status: 501, json: { code: 'HF_NOT_IMPLEMENTED' } })
    expect(pull.json.message).toContain('docker.io/library/nosuch:latest')
  })

  it('does not answer 404 to a create for anything but the image, or docker would go and pull it', async () => {
    engine.create = async () => {
      throw new HoldfastError('HF_NETWORK_NOT_FOUND', 'network x not found')
    }
    expect(await ask('POST', '/containers/create', { Image: 'busybox' })).toMatchObject({
      status: 400,
      json: { message: 'network x not found', code: 'HF_NETWORK_NOT_FOUND' },
    })
  })

  it('takes an import of any length, and reports the id', async () => {
    const { status, body } = await ask(
      'POST',
      '/images/create?fromSrc=-&repo=a/b&tag=t&changes=CMD+x&changes=ENV+A%3D1',
      'x'.repeat(5_000_000),
    )
    expect(status).toBe(200)
    expect(JSON.parse(body).status).toMatch(/^sha256:/)
    expect(engine.calls.at(-1)?.arguments).toEqual([
      5_000_000,
      {
        reference: 'a/b:t',
        changes: ['CMD x', 'ENV A=1'],
        message: 'Imported from -',
      },
    ])
  })

  it('answers a reader that gives up in the middle of an upload, and tells it of a client that does', async () => {
    engine.images.import = async (tar) => {
      for await (const _ of tar) throw new HoldfastError('HF_CORRUPT_LAYER', 'invalid tar archive')
      return ''
    }
    const refused = await ask('POST', '/images/create?fromSrc=-', 'x'.repeat(20_000_000))
    expect(refused).toMatchObject({ status: 500, json: { message: 'invalid tar archive' } })

    const client = new RawClient()
    const failed = new Promise((resolve) => {
      engine.images.import = async (tar) => {
        try {
          for await (const _ of tar) client.socket.destroy()
        } catch (error) {
          resolve(error)
        }
        return ''
      }
    })
    client.socket.write(
      'POST /images/create?fromSrc=- HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome',
    )
    expect(await failed).toMatchObject({ message: 'the client went away in the middle of the body' })
  })

  it('creates, removes and prunes volumes', async () => {
    expect(await ask('POST', '/volumes/create', { Name: 'v2', Labels: { a: 'b' } })).toMatchObject({
      status: 201,
      json: { Name: 'v2', Driver: 'local', Labels: { a: 'b' }, Scope: 'local' },
    })
    expect((await ask('DELETE', '/volumes/v2?force=1')).status).toBe(204)
    expect(engine.calls.at(-1)).toEqual({ verb: 'removeVolume', arguments: ['v2', { force: true }] })
    expect((await ask('POST', '/v1.51/volumes/prune')).json).toEqual({
      VolumesDeleted: [],
      SpaceReclaimed: 0,
    })
    expect((await ask('POST', '/v1.41/volumes/prune')).json).toEqual({
      VolumesDeleted: ['v1'],
      SpaceReclaimed: 0,
    })
  })

  it.each([
    [{ Driver: 'nfs' }, 404, 'create v2: error looking up volume plugin nfs: plugin "nfs" not found'],
    [{ DriverOpts: { foo: 'bar' } }, 400, 'create v2: invalid option: "foo"'],
    [{ DriverOpts: { type: 'tmpfs' } }, 400, 'create v2: missing required option: "device"'],
    [{ DriverOpts: { type: 'tmpfs', device: 'tmpfs' } }, 501, 'DriverOpts is not supported'],
    [{ clusterVolumeSpec: { Group: 'g' } }, 501, 'ClusterVolumeSpec is not supported'],
  ])('refuses a volume with %j in the words of dockerd', async (more, status, message) => {
    const answer = await ask('POST', '/volumes/create', { Name: 'v2', ...more })
    expect(answer.status).toBe(status)
    expect(answer.json.message).toContain(message)
    expect(engine.calls.at(-1)?.verb).not.toBe('createVolume')
  })

  it('makes no volume where the body is missing', async () => {
    expect((await ask('POST', '/volumes/create')).status).toBe(400)
  })

  it('answers every OPTIONS with nothing, as dockerd does', async () => {
    expect(await ask('OPTIONS', '/v1.41/containers/json')).toMatchObject({ status: 200, body: '' })
  })

  it('refuses events of a time that ends before it begins', async () => {
    expect(await ask('GET', '/events?since=5&until=1')).toMatchObject({
      status: 400,
      json: { message: '`since` time (5) cannot be after `until` time (1)' },
    })
  })

  it('lists by filters, with the labels of the image, newest first', async () => {
    const names = async (query: string) =>
      (await ask('GET', `/containers/json?${query}`)).json.map((row: { Names: string[] }) => row.Names[0])
    for (const [name, cmd] of [
      ['first', 'cat'],
      ['second', 'both'],
      ['third', 'cat'],
    ] as const) {
      await ask('POST', `/containers/create?name=${name}`, {
        Image: 'busybox',
        Cmd: [cmd],
        Labels: { own: name },
      })
      if (name !== 'third') await ask('POST', `/containers/${name}/start`)
    }
    const filter = (filters: object) => `filters=${encodeURIComponent(JSON.stringify(filters))}`
    expect(await names('')).toEqual(['/first'])
    expect(await names('all=1')).toEqual(['/third', '/second', '/first'])
    expect(await names('limit=2')).toEqual(['/third', '/second'])
    expect(await names(filter({ status: ['exited'] }))).toEqual(['/second'])
    expect(await names(filter({ exited: ['3'] }))).toEqual(['/second'])
    expect(await names(`all=1&${filter({ label: ['from=image', 'own=third'] })}`)).toEqual(['/third'])
    expect(await names(`all=1&${filter({ name: { '^/sec': true } })}`)).toEqual(['/second'])
    expect(await names(`all=1&${filter({ ancestor: ['busybox'], before: ['second'] })}`)).toEqual(['/first'])
    expect(await names(`all=1&${filter({ ancestor: ['nosuch'] })}`)).toEqual([])
    for (const bad of [
      { status: ['odd'] },
      { health: ['odd'] },
      { publish: ['80-70'] },
      { publish: ['http'] },
      { expose: ['1-99999'] },
    ])
      expect((await ask('GET', `/containers/json?${filter(bad)}`)).status).toBe(400)
  })

  it('prunes containers that do not run, and leaves the others', async () => {
    const [stopped, running] = [await created(['echo', 'x']), await created(['cat'])]
    for (const id of [stopped, running]) await ask('POST', `/containers/${id}/start`)
    expect((await ask('POST', '/containers/prune?filters=')).json).toEqual({
      ContainersDeleted: [stopped],
      SpaceReclaimed: 10,
    })
    expect((await ask('POST', '/containers/prune')).json).toEqual({
      ContainersDeleted: null,
      SpaceReclaimed: 0,
    })
  })

  it('frames logs, and types them from API 1.42 on', async () => {
    const id = await created(['both'])
    await ask('POST', `/containers/${id}/start`)
    const log = await ask(
      'GET',
      `/v1.51/containers/${id}/logs?stdout=1&stderr=1&tail=5&since=1700000000.000000001`,
    )
    expect(log.headers['content-type']).toBe('application/vnd.docker.multiplexed-stream')
    expect(log.body).toBe('\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n')
    expect(engine.calls.at(-1)?.arguments[1]).toMatchObject({
      tail: 5,
      since: 1_700_000_000_000_000_001n,
      follow: false,
    })
    const old = await ask('GET', `/v1.41/containers/${id}/logs?stdout=1`)
    expect(old.headers['content-type']).toBe('application/vnd.docker.raw-stream')
    expect((await ask('GET', `/containers/${id}/logs`)).json.message).toBe(
      'Bad parameters: you must choose at least one stream',
    )
  })
})

describe('hijacked connections', () => {
  const upgrade = 'Connection: Upgrade\r\nUpgrade: tcp\r\n'
  const attachTo = (id: string, headers: string, query = 'stream=1&stdin=1&stdout=1&stderr=1') =>
    `POST /v1.51/containers/${id}/attach?${query} HTTP/1.1\r\nHost: x\r\n${headers}`

  const startOf = (id: string, body: string) =>
    `POST /exec/${id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n${upgrade}\r\n${body}`

  it.each([
    ['an upgrade', upgrade, 'HTTP/1.1 101 UPGRADED'],
    ['no upgrade', '', 'HTTP/1.1 200 OK'],
  ])(
    'attaches with %s, echoes stdin, and keeps output flowing after the client half-closed',
    async (_, headers, status) => {
      const id = await created(['cat'], { OpenStdin: true, StdinOnce: true })
      const client = new RawClient()
      client.socket.write(attachTo(id, `${headers}\r\n`))
      await client.until(({ received }) => received.includes('\r\n\r\n'))
      expect(client.head.split('\r\n')[0]).toBe(status)
      expect(client.head).toContain('Content-Type: application/vnd.docker.multiplexed-stream')
      expect(client.head).not.toMatch(/Content-Length|Transfer-Encoding/)
      await ask('POST', `/containers/${id}/start`)
      client.socket.end('hi\n')
      await client.until(({ ended }) => ended)
      expect(client.stream.toString('hex')).toBe('010000000000000368690a')
    },
  )

  it.each([
    [
      'with an upgrade, in one packet',
      upgrade,
      (head: string, body: string, stdin: string) => [head + body + stdin],
    ],
    [
      'with an upgrade, body and stdin later',
      upgrade,
      (head: string, body: string, stdin: string) => [head, body + stdin],
    ],
    [
      'with an upgrade, body in two parts',
      upgrade,
      (head: string, body: string, stdin: string) => [head + body.slice(0, 3), body.slice(3) + stdin],
    ],
    [
      'with an upgrade, all apart',
      upgrade,
      (head: string, body: string, stdin: string) => [head, body, stdin],
    ],
    ['without, in one packet', '', (head: string, body: string, stdin: string) => [head + body + stdin]],
    ['without, body later', '', (head: string, body: string, stdin: string) => [head, body, stdin]],
  ])('keeps the body out of stdin: exec start %s', async (_, headers, packets) => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, {
      Cmd: ['cat'],
      AttachStdin: true,
      AttachStdout: true,
    })
    const client = new RawClient()
    const body = '{"Detach":false,"Tty":false}'
    const head =
      `POST /exec/${exec.json.Id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n${headers}\r\n`
    for (const packet of packets(head, body, 'early')) {
      client.socket.write(packet)
      await new Promise((resolve) => setImmediate(resolve)) // a packet of its own
    }
    await client.until(({ received }) => received.includes('early'))
    client.socket.end('late')
    await client.until(({ ended }) => ended)
    const payload = client.stream.toString().replaceAll(/.\0\0\0.{4}/gs, '')
    expect(payload).toBe('earlylate')
  })

  it.each([
    ['with stdin', true, 'in', 'in'],
    ['without stdin, as an ordinary answer', false, '', 'cat\n'],
  ])(
    'waits for the launch of an exec though the client has half-closed: %s',
    async (_, stdin, sent, shown) => {
      const launch = Promise.withResolvers<void>()
      engine.launch = launch.promise
      const id = await created(['cat'])
      const exec = await ask('POST', `/containers/${id}/exec`, {
        Cmd: stdin ? ['cat'] : ['echo', 'cat'],
        AttachStdin: stdin,
        AttachStdout: true,
      })
      const client = new RawClient()
      client.socket.write(
        `POST /exec/${exec.json.Id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
          'Content-Length: 2\r\n\r\n{}',
      )
      await client.until(({ received }) => received.includes('\r\n\r\n'))
      client.socket.end(sent)
      await ask('GET', '/_ping') // by its answer the server has read what came before
      launch.resolve()
      await client.until(({ ended }) => ended)
      expect(client.stream.toString()).toContain(shown)
    },
  )

  it.each([
    ['whose input may have further clients', { StdinOnce: false }],
    ['on a terminal', { StdinOnce: true, Tty: true }],
  ])('detaches at the end of the input of a container %s', async (_, config) => {
    const id = await created(['cat'], { OpenStdin: true, ...config })
    await ask('POST', `/containers/${id}/start`)
    const client = new RawClient()
    client.socket.write(attachTo(id, `${upgrade}\r\n`))
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    client.socket.end()
    await client.until(({ ended }) => ended)
  })

  it('streams a terminal raw', async () => {
    const id = await created(['echo', 'x'], { Tty: true })
    const client = new RawClient()
    client.socket.write(attachTo(id, `${upgrade}\r\n`))
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    expect(client.head).toContain('Content-Type: application/vnd.docker.raw-stream')
    await ask('POST', `/containers/${id}/start`)
    await client.until(({ ended }) => ended)
    expect(client.stream.toString()).toBe('x\n')
  })

  it('detaches at the keys of a terminal and leaves the container running', async () => {
    const id = await created(['cat'], { Tty: true, OpenStdin: true })
    await ask('POST', `/containers/${id}/start`)
    const client = new RawClient()
    client.socket.write(attachTo(id, `${upgrade}\r\n`, 'stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x'))
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    client.socket.write('a\x01b\x01')
    await client.until(({ stream }) => stream.includes('a\x01b'))
    client.socket.write('xlost')
    await client.until(({ ended }) => ended)
    expect(engine.calls).toContainEqual({ verb: 'announce', arguments: [id, 'detach', {}] })
    expect(client.stream.toString()).toBe('a\x01b')
    expect(engine.get(id).state.status).toBe('running')
  })

  it('ends an exec on a terminal at the keys that it was created with', async () => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, {
      Cmd: ['cat'],
      Tty: true,
      AttachStdin: true,
      AttachStdout: true,
      DetachKeys: 'ctrl-a,x',
    })
    const body = '{"Tty":true}'
    const client = new RawClient()
    client.socket.write(
      `POST /exec/${exec.json.Id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n${upgrade}\r\n${body}`,
    )
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    client.socket.write('a\x10\x11')
    await client.until(({ stream }) => stream.includes('a\x10\x11')) // Docker's own keys are two like any others
    client.socket.write('\x01xlost')
    await client.until(({ ended }) => ended)
    expect(client.stream.toString()).toBe('a\x10\x11')
  })

  it('answers an error as HTTP before the connection is taken over', async () => {
    const client = new RawClient()
    client.socket.write(attachTo('nosuch', `${upgrade}\r\n`))
    await client.until(({ ended }) => ended)
    expect(client.head).toMatch(/^HTTP\/1\.1 404 Not Found/)
    expect(JSON.parse(client.stream.toString())).toMatchObject({ message: 'No such container: nosuch' })
  })

  it('leaves the connection to the next request where an exec takes no input and nobody asked for an upgrade', async () => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, { Cmd: ['echo', 'x'], AttachStdout: true })
    const client = new RawClient()
    const type = 'Content-Type: application/json\r\nContent-Length: 2\r\n'
    client.socket.write(`POST /exec/${exec.json.Id}/start HTTP/1.1\r\nHost: x\r\n${type}\r\n{}`)
    await client.until(({ received }) => received.includes('\r\n0\r\n\r\n'))
    expect(client.head).toContain('Transfer-Encoding: chunked')
    expect(client.stream.toString()).toBe('f\r\n\x01\0\0\0\0\0\0\x07echo x\n\r\n0\r\n\r\n')
    client.socket.write(`GET /exec/${exec.json.Id}/json HTTP/1.1\r\nHost: x\r\n\r\n`)
    await client.until(({ received }) => received.includes('"ExitCode":0'))
    client.socket.destroy()
  })

  it('reports a missing exec command over the stream', async () => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, { Cmd: ['nosuch'], AttachStdout: true })
    const answer = await ask(
      'POST',
      `/exec/${exec.json.Id}/start`,
      { Detach: false, Tty: false },
      { connection: 'close' },
    )
    expect(answer.status).toBe(200)
    expect(answer.body.slice(8)).toBe('exec: "nosuch": executable file not found in $PATH\r\n')
    expect((await ask('GET', `/exec/${exec.json.Id}/json`)).json.ExitCode).toBe(127)
  })

  it.each([
    ['of an exec', ['echo', 'x'], 'echo x\n'],
    ['of an exec that fails', ['nosuch'], 'exec: "nosuch": executable file not found in $PATH\r\n'],
  ])('sends no output %s before the client has read the head of its answer', async (_, Cmd, output) => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, { Cmd, AttachStdout: true })
    const chunks = await chunksOf(startOf(exec.json.Id, '{}'))
    expect(chunks[0]).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/)
    expect(chunks.slice(1).join('').slice(8)).toBe(output)
  })

  it("ends an exec's attachment at its own detach keys, and shows them", async () => {
    const id = await created(['cat'])
    const options = { Cmd: ['cat'], Tty: true, AttachStdin: true, AttachStdout: true, DetachKeys: 'ctrl-x' }
    const exec = await ask('POST', `/containers/${id}/exec`, options)
    expect((await ask('GET', `/exec/${exec.json.Id}/json`)).json.DetachKeys).toBe('GA==')
    const client = new RawClient()
    client.socket.write(startOf(exec.json.Id, '{"Tty":true}'))
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    client.socket.write('a')
    await client.until(({ stream }) => stream.includes('a'))
    client.socket.write('\x18b')
    await client.until(({ ended }) => ended)
    expect(client.stream.toString()).toBe('a')
  })

  it('refuses to start an exec twice with a status', async () => {
    const id = await created(['cat'])
    const exec = await ask('POST', `/containers/${id}/exec`, { Cmd: ['true'], AttachStdout: true })
    await ask('POST', `/exec/${exec.json.Id}/start`, { Detach: true })
    expect((await ask('POST', `/exec/${exec.json.Id}/start`, {})).status).toBe(409)
  })

  it('loses nothing of a flood to a client that reads slowly', async () => {
    const id = await created(['flood'])
    const client = new RawClient()
    client.socket.write(attachTo(id, `${upgrade}\r\n`))
    await client.until(({ received }) => received.includes('\r\n\r\n'))
    client.socket.pause()
    await ask('POST', `/containers/${id}/start`)
    client.socket.resume()
    await client.until(({ ended }) => ended)
    expect(client.stream.length).toBe(64 * (65_536 + 8))
  })

  it('survives a client that is reset, and a container that takes no more input, in the middle of a stream', async () => {
    const id = await created(['cat'], { OpenStdin: true })
    await ask('POST', `/containers/${id}/start`)
    const { stdin } = [...engine.processes_.values()].at(-1)!
    for (const end of [
      (client: RawClient) => client.socket.destroy(),
      () => stdin.destroy(new Error('gone')),
    ]) {
      const client = new RawClient()
      client.socket.write(attachTo(id, `${upgrade}\r\n`))
      await client.until(({ received }) => received.includes('\r\n\r\n'))
      client.socket.write('x'.repeat(100_000))
      end(client)
      client.socket.write('y')
      client.socket.on('error', () => {})
      expect((await ask('GET', '/_ping')).status).toBe(200)
      client.socket.destroy()
    }
  })

  it('refuses a bad WebSocket handshake', async () => {
    const id = await created(['cat'])
    const client = new RawClient()
    client.socket.write(
      `GET /containers/${id}/attach/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    )
    await client.until(({ ended }) => ended)
    expect(client.head).toMatch(/^HTTP\/1\.1 400 /)
  })

  it('ignores an upgrade on other routes', async () => {
    const client = new RawClient()
    client.socket.write(`GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`)
    await client.until(({ received }) => received.includes('OK', 20))
    expect(client.head).toMatch(/^HTTP\/1\.1 200 OK/)
    client.socket.destroy()
  })

  it('attaches over a WebSocket', async () => {
    const id = await created(['echo', 'hi'])
    const socket = new WebSocket(`ws+unix:${path}:/containers/${id}/attach/ws?stream=1&stdout=1&stderr=1`)
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    const message = new Promise((resolve) => socket.once('message', resolve))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await ask('POST', `/containers/${id}/start`)
    expect(String(await message)).toBe('hi\n')
    await closed
  })
})
