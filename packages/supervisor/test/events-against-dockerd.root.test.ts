import { connect } from 'node:net'
import { busyboxTar, eventually, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, hasDockerd, PrivateDockerd, type Answer } from './private-dockerd.ts'

const api = '/v1.41'

interface Event {
  Type: string
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
}

/** One of the engines, and what is done to it. */
class Peer {
  readonly socket: string

  constructor(socket: string) {
    this.socket = socket
  }

  async do(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await ask(this.socket, method, api + path, body)
    expect(`${method} ${path} ${answer.status}`, answer.text).toMatch(/ (2\d\d|304)$/)
    return answer
  }

  async create(name: string, config: object): Promise<void> {
    await this.do('POST', `/containers/create?name=${name}`, { Image: 'ev:1', ...config })
  }

  async run(name: string, config: object = {}): Promise<void> {
    await this.create(name, config)
    await this.do('POST', `/containers/${name}/start`)
  }

  /** Creates an exec, starts it in the background and waits for its end. */
  async exec(name: string, args: string[]): Promise<void> {
    const { json } = await this.do('POST', `/containers/${name}/exec`, { Cmd: args })
    await this.do('POST', `/exec/${json.Id}/start`, { Detach: true })
    await eventually(async () => !(await this.do('GET', `/exec/${json.Id}/json`)).json.Running)
  }

  /** Asks for the connection, types Docker's detach keys once it has seen `prompt`, and waits for its end. */
  async detach(path: string, prompt: string, body?: object): Promise<void> {
    const text = body === undefined ? '' : JSON.stringify(body)
    const socket = connect({ path: this.socket, allowHalfOpen: true })
    socket.write(
      `POST ${api}${path} HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    )
    let seen = ''
    for await (const chunk of socket) {
      const asked = seen.includes(prompt)
      seen += String(chunk)
      if (!asked && seen.includes(prompt)) socket.write('\x10\x11')
    }
    expect(seen).toMatch(/^HTTP\/1.1 101 /)
    socket.destroy()
  }

  async events(filters: object = {}): Promise<Event[]> {
    const until = (Date.now() / 1000).toFixed(9)
    const query = `since=0&until=${until}&filters=${encodeURIComponent(JSON.stringify(filters))}`
    const { text } = await this.do('GET', `/events?${query}`)
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Event]))
  }

  /** Until an event has come that is told by the by. */
  async saw(action: string, count = 1): Promise<void> {
    await eventually(async () => (await this.events({ event: [action] })).length >= count)
  }
}

/** Lines for comparing: ids by the order of their coming, without what newer versions of Docker add. */
function lines(events: Event[]): string[] {
  const known = new Map<string, string>()
  const name = (id: string): string => {
    if (!known.has(id)) known.set(id, `<${known.size}>`)
    return known.get(id)!
  }
  return events.map(({ Type, Action, Actor }) => {
    const attributes = Object.entries(Actor.Attributes).filter(([key]) => key !== 'execDuration')
    const text = `${Type} ${Action} ${Actor.ID} ${JSON.stringify(attributes.map((pair) => pair.join('=')).toSorted())}`
    return text.replace(/(sha256:)?[0-9a-f]{64}/g, name)
  })
}

describe.skipIf(!hasDockerd())('events beside dockerd', () => {
  let dockerd: PrivateDockerd
  let supervisor: TestSupervisor
  let peers: { docker: Peer; ours: Peer }
  let tar: Buffer

  beforeAll(async () => {
    using scratch = temporaryDirectory()
    tar = busyboxTar(scratch.path)
    ;[dockerd, supervisor] = await Promise.all([PrivateDockerd.start(), TestSupervisor.start()])
    peers = { docker: new Peer(dockerd.socket), ours: new Peer(supervisor.socket) }
    await both((peer) =>
      peer.do('POST', '/images/create?fromSrc=-&repo=ev&tag=1&changes=LABEL+a%3Db&changes=CMD+sh', tar),
    )
  })

  afterAll(async () => {
    await Promise.all([dockerd?.[Symbol.asyncDispose](), supervisor?.[Symbol.asyncDispose]()])
  })

  async function both(action: (peer: Peer) => Promise<unknown>): Promise<void> {
    await Promise.all([action(peers.docker), action(peers.ours)])
  }

  async function expectSame(filters: object): Promise<void> {
    const [docker, ours] = await Promise.all([peers.docker.events(filters), peers.ours.events(filters)])
    expect(lines(ours)).toEqual(lines(docker))
    expect(ours.length).toBeGreaterThan(0)
  }

  it('tells of the life of a container, its execs, its network and its volumes', async () => {
    await both(async (peer) => {
      const HostConfig = { Binds: ['shared:/v:ro'] }
      await peer.run('life', { Tty: true, OpenStdin: true, Labels: { l: '1' }, HostConfig })
      await peer.exec('life', ['true'])
      await peer.saw('exec_die')
      await peer.exec('life', ['sh', '-c', 'exit 3'])
      await peer.saw('exec_die', 2)
      await peer.do('GET', '/containers/life/top')
      await peer.do('POST', '/containers/life/resize?h=10&w=20')
      await peer.do('POST', '/containers/life/rename?name=life2')
      await peer.do('POST', '/containers/life2/pause')
      await peer.do('POST', '/containers/life2/unpause')
      await peer.do('POST', '/containers/life2/kill?signal=WINCH')
      await peer.detach('/containers/life2/attach?stream=1&stdin=1&stdout=1', '\r\n\r\n')
      await peer.saw('detach')
      await peer.do('POST', '/containers/life2/restart?t=0')
      await peer.do('POST', '/containers/life2/stop?t=0')
      await peer.do('DELETE', '/containers/life2?v=1')
    })
    await expectSame({ type: ['container', 'network', 'volume'] })
  })

  it('tells of an exec that ends with its container, and of one that cannot be launched', async () => {
    await both(async (peer) => {
      await peer.run('execs', { Cmd: ['sleep', '100'] })
      const { json } = await peer.do('POST', '/containers/execs/exec', { Cmd: ['sleep', '90'] })
      await peer.do('POST', `/exec/${json.Id}/start`, { Detach: true })
      const missing = await peer.do('POST', '/containers/execs/exec', { Cmd: ['nosuch'], AttachStdout: true })
      await ask(peer.socket, 'POST', `${api}/exec/${missing.json.Id}/start`, {})
      await peer.do('POST', '/containers/execs/kill')
      await peer.saw('exec_die', 3)
      await peer.do('POST', '/containers/execs/wait')
      await peer.do('DELETE', '/containers/execs')
    })
    // Not of the signal: dockerd may tell of it after what it did.
    const events = ['exec_create', 'exec_start', 'exec_die', 'die']
    await expectSame({ event: events, container: ['execs'] })
  })

  it('tells of failed starts, of networks without a link, and of attachments to the log alone', async () => {
    await both(async (peer) => {
      await peer.create('failed', { Cmd: ['nosuch'], HostConfig: { Binds: ['other:/v'] } })
      await ask(peer.socket, 'POST', `${api}/containers/failed/start`)
      await ask(peer.socket, 'POST', `${api}/containers/failed/attach?logs=1&stdout=1`)
      await peer.do('DELETE', '/containers/failed')
      for (const mode of ['none', 'host']) {
        await peer.run(`in-${mode}`, { Cmd: ['true'], HostConfig: { NetworkMode: mode } })
        await peer.do('POST', `/containers/in-${mode}/wait`)
        await peer.saw('disconnect', mode === 'none' ? 4 : 5)
        await peer.do('DELETE', `/containers/in-${mode}`)
      }
    })
    await expectSame({ container: ['failed'] })
    await expectSame({ container: ['in-'] })
    await expectSame({ volume: ['other'] })
    await expectSame({ network: ['none', 'host'] })
  })

  it('tells of images with their labels, and of what a prune removed', async () => {
    await both(async (peer) => {
      await peer.do('POST', '/images/ev:1/tag?repo=ev&tag=2')
      await peer.do('DELETE', '/images/ev:2')
      for (const name of ['shared', 'other']) await peer.do('DELETE', `/volumes/${name}`)
      for (const kind of ['containers', 'volumes', 'networks', 'images'])
        await peer.do('POST', `/${kind}/prune`)
      await peer.do('POST', '/build/prune')
    })
    await expectSame({ type: ['image'] })
    await expectSame({ event: ['prune'] })
  })

  it.each([
    { container: ['life2'] },
    { container: ['in-'] },
    { volume: ['shared'] },
    { image: ['ev'], event: ['create', 'destroy', 'tag', 'import'] },
    { image: ['ev:1'], event: ['create', 'destroy', 'tag', 'import'] },
    { label: ['l=1'] },
    { label: ['l=1', 'a'] },
    { event: ['die', 'exec_create'], container: ['execs'] },
    { type: ['volume'], event: ['mount'] },
    { scope: ['local'], type: ['image'] },
  ])('filters them alike: %j', async (filters) => {
    await expectSame(filters)
  })

  // dockerd 20.10 wraps the reason why the input ended, does not know it again, and reports a failed exec.
  it('tells of an exec that is left by its keys', async () => {
    const { ours } = peers
    await ours.run('left', { Cmd: ['sleep', '100'] })
    const command = ['sh', '-c', 'echo ready; cat']
    const exec = { Cmd: command, Tty: true, AttachStdin: true, AttachStdout: true }
    const { json } = await ours.do('POST', '/containers/left/exec', exec)
    await ours.detach(`/exec/${json.Id}/start`, 'ready', { Tty: true })
    const told = await ours.events({ event: ['exec_detach'] })
    expect(told).toMatchObject([{ Actor: { Attributes: { execID: json.Id, name: 'left' } } }])
    expect((await ours.do('GET', `/exec/${json.Id}/json`)).json.Running).toBe(true)
    await ours.do('DELETE', '/containers/left?force=1')
    expect(await ours.events({ event: ['exec_die'], container: ['left'] })).toHaveLength(1)
  })
})
