import { busyboxTar, eventually, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shapeDifferences } from './answer-shape.ts'
import { ask, hasDockerd, PrivateDockerd, type Answer } from './private-dockerd.ts'

// The newest version that Debian 12's dockerd speaks.
const api = '/v1.41'

/** Differences that are meant, each with its reason. */
const meant: Record<string, string> = {
  '.Holdfast': 'our extension of inspect: the id range of the user namespace',
  '.HostConfig.OomKillDisable':
    'dockerd fills it in on cgroup v1; null, as asked for, is what it shows on v2',
  '.GraphDriver.Data': 'the vfs driver that the peer runs with has none',
  '.DriverStatus': 'likewise',
  '.KernelMemory': 'only cgroup v1 has it, and the kernel ignores it',
  '.RegistryConfig.IndexConfigs.docker.io': 'registries are not built yet',
  '.Runtimes.holdfast': 'our runtime',
  '.Runtimes.runc': "Docker's",
  '.Runtimes.io.containerd.runc.v2': "Docker's",
  '.Runtimes.io.containerd.runtime.v1.linux': "Docker's",
  '.NetworkSettings.Ports': 'one address family or two, as the network has',
  '[].Options': 'each driver has options of its own',
  '.Options': 'likewise',
  '.Warnings': 'each engine says what it misses on this host',
  '[].IPAM.Config[].Gateway': 'dockerd leaves it out where it chose it itself',
  '.IPAM.Config[].Gateway': 'likewise',
}

describe.skipIf(!hasDockerd())('the API beside dockerd', () => {
  let dockerd: PrivateDockerd
  let supervisor: TestSupervisor

  beforeAll(async () => {
    using scratch = temporaryDirectory()
    const tar = busyboxTar(scratch.path)
    ;[dockerd, supervisor] = await Promise.all([PrivateDockerd.start(), TestSupervisor.start()])
    await both(
      'POST',
      '/images/create?fromSrc=-&repo=busybox&tag=latest&changes=ENV+A%3Dimage&changes=CMD+sh',
      tar,
    )
  })

  afterAll(async () => {
    await Promise.all([dockerd?.[Symbol.asyncDispose](), supervisor?.[Symbol.asyncDispose]()])
  })

  async function both(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ docker: Answer; ours: Answer }> {
    const [docker, ours] = await Promise.all([
      ask(dockerd.socket, method, api + path, body),
      ask(supervisor.socket, method, api + path, body),
    ])
    return { docker, ours }
  }

  /** Same status and type; for a success the same keys and types, for a failure a message. */
  async function compare(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ docker: Answer; ours: Answer }> {
    const answers = await both(method, path, body)
    const { docker, ours } = answers
    const where = `${method} ${path}`
    expect(`${where}: ${ours.status}`, ours.text).toBe(`${where}: ${docker.status}`)
    if (docker.type !== undefined) expect(ours.type, where).toBe(docker.type)
    if (docker.status >= 400) expect(ours.json, where).toHaveProperty('message')
    else if (docker.json !== undefined)
      expect(unmeant(shapeDifferences(docker.json, ours.json)), where).toEqual([])
    return answers
  }

  it('answers about itself in the same shapes', async () => {
    for (const path of [
      '/_ping',
      '/version',
      '/info',
      '/networks',
      '/networks/bridge',
      '/volumes',
      '/plugins',
    ]) {
      await compare('GET', path)
    }
  })

  it('takes a container through its life with the same statuses and shapes', async () => {
    const config = {
      Image: 'busybox',
      Cmd: ['cat'],
      OpenStdin: true,
      Labels: { a: 'b' },
      ExposedPorts: { '80/tcp': {} },
      Env: ['B=1'],
      HostConfig: {
        PortBindings: { '80/tcp': [{ HostPort: '' }] },
        Memory: 67_108_864,
        Binds: ['data:/data'],
      },
    }
    await compare('POST', '/containers/create?name=life', config)
    await compare('POST', '/containers/create?name=life', config)
    await compare('GET', '/containers/life/json')
    await compare('POST', '/containers/life/start')
    await compare('POST', '/containers/life/start')
    await compare('GET', '/containers/life/json?size=1')
    await compare('GET', '/containers/json')
    await compare('GET', '/containers/life/top')
    await compare('GET', '/containers/life/top?ps_args=-o+pid,args')
    await compare('POST', '/containers/life/resize?h=10&w=20')
    await compare('POST', '/containers/life/rename?name=life2')
    await compare('POST', '/containers/life2/pause')
    await compare('POST', '/containers/life2/pause')
    await compare('GET', '/containers/life2/json')
    await compare('POST', '/containers/life2/unpause')
    await compare('DELETE', '/containers/life2')
    await compare('POST', '/containers/life2/stop?t=0')
    await compare('POST', '/containers/life2/stop?t=0')
    await compare('POST', '/containers/life2/wait')
    await compare('POST', '/containers/life2/kill')
    await compare('GET', '/containers/json?all=1')
    await compare('GET', '/volumes/data')
    await compare('DELETE', '/containers/life2?v=1')
    await compare('DELETE', '/containers/life2')
  })

  const trapping = { Cmd: ['sh', '-c', 'trap "exit 3" TERM USR1; echo up; while :; do usleep 50000; done'] }

  it.each([
    ['its stop signal, which nobody chose', 'TERM', trapping, 'exited'],
    ['any signal, where nobody chose a stop signal', 'USR1', trapping, 'exited'],
    ['its own stop signal', 'USR1', { ...trapping, StopSignal: 'SIGUSR1' }, 'exited'],
    ['not another signal than its own', 'TERM', { ...trapping, StopSignal: 'SIGUSR1' }, 'paused'],
  ])('lets a paused container go on for what dockerd does: %s', async (what, signal, body, status) => {
    const name = `paused-${what.length}`
    const bothAre = (holds: (answer: Answer) => boolean, path: string) =>
      eventually(async () => {
        const { docker, ours } = await both('GET', `/containers/${name}/${path}`)
        return holds(docker) && holds(ours)
      })
    await compare('POST', `/containers/create?name=${name}`, { Image: 'busybox', ...body })
    await compare('POST', `/containers/${name}/start`)
    await bothAre(({ text }) => text.includes('up'), 'logs?stdout=1')
    await compare('POST', `/containers/${name}/pause`)
    await compare('POST', `/containers/${name}/kill?signal=${signal}`)
    await bothAre(({ json }) => json.State.Status === status, 'json')
    await both('DELETE', `/containers/${name}?force=1`)
  })

  it('runs execs with the same statuses and shapes', async () => {
    await compare('POST', '/containers/create?name=execs', { Image: 'busybox', Cmd: ['sleep', '100'] })
    await compare('POST', '/containers/execs/exec', { Cmd: ['true'] })
    await compare('POST', '/containers/execs/start')
    const { docker, ours } = await compare('POST', '/containers/execs/exec', {
      Cmd: ['true'],
      AttachStdout: true,
    })
    const inspect = async (socket: string, { json }: Answer) =>
      await ask(socket, 'GET', `${api}/exec/${json.Id}/json`)
    const before = [await inspect(dockerd.socket, docker), await inspect(supervisor.socket, ours)] as const
    expect(shapeDifferences(before[0].json, before[1].json)).toEqual([])
    for (const [socket, { json }] of [
      [dockerd.socket, docker],
      [supervisor.socket, ours],
    ] as const) {
      const started = await ask(socket, 'POST', `${api}/exec/${json.Id}/start`, { Detach: true })
      expect(started).toMatchObject({ status: 200, text: '' })
    }
    await compare('POST', '/containers/execs/exec', { Cmd: [] })
    await compare('GET', '/exec/nosuch/json')
    await compare('DELETE', '/containers/execs?force=1')
  })

  it('describes and names images in the same shapes', async () => {
    for (const path of [
      '/images/json',
      '/images/busybox/json',
      '/images/busybox/history',
      '/images/nosuch/json',
    ]) {
      await compare('GET', path)
    }
    await compare('POST', '/images/busybox/tag?repo=other&tag=t')
    await compare('POST', '/images/nosuch/tag?repo=other')
    await compare('DELETE', '/images/other:t')
    await compare('DELETE', '/images/nosuch')
  })

  it('refuses with the same statuses', async () => {
    await compare('POST', '/containers/create', { Image: 'nosuch' })
    await compare('POST', '/containers/create?name=%21', { Image: 'busybox' })
    await compare('POST', '/containers/create', {})
    for (const path of [
      '/containers/nosuch/json',
      '/networks/nosuch',
      '/volumes/nosuch',
      '/plugins/nosuch/json',
      '/nodes',
    ]) {
      await compare('GET', path)
    }
    await compare('GET', '/containers/json?filters=%7B%22bad%22%3A%5B%22x%22%5D%7D')
    await compare('POST', '/containers/nosuch/start')
    await compare('POST', '/swarm/leave')
    await compare('GET', '/nosuch')
    await compare('GET', '/images//json')
  })

  it.each(faults)('finds the same fault with %j, before it looks for the image', async (host) => {
    const body = { Image: 'nosuch', Cmd: ['true'], HostConfig: host }
    const { docker, ours } = await compare('POST', '/containers/create', body)
    expect(words(ours)).toBe(words(docker))
  })

  it.each(['none', 'host', 'bridge'])(
    'refuses an address on the network %s, before the start',
    async (name) => {
      const { ours } = await both('POST', '/containers/create?name=addressed', {
        ...sleeper,
        HostConfig: { NetworkMode: name },
        NetworkingConfig: { EndpointsConfig: { [name]: { IPAMConfig: { IPv4Address: '1.2.3.4' } } } },
      })
      expect(ours.status).toBe(400)
      const { docker } = await both('POST', '/containers/addressed/start')
      expect(words(docker)).toBe(words(ours))
      await both('DELETE', '/containers/addressed')
    },
  )

  it('says that ports are not published on the network of the host', async () => {
    const host = { NetworkMode: 'host', PortBindings: { '80/tcp': [{ HostPort: '' }] } }
    const body = { ...sleeper, HostConfig: host }
    const { docker, ours } = await compare('POST', '/containers/create?name=on-host', body)
    expect(ours.json.Warnings).toEqual(expect.arrayContaining(docker.json.Warnings))
    await compare('DELETE', '/containers/on-host')
  })

  it('has the same environment, names and limits in inspect', async () => {
    await compare('POST', '/containers/create?name=shown', {
      ...sleeper,
      Env: ['NAME', 'A=1'],
      HostConfig: {
        CapAdd: 'NET_ADMIN',
        Isolation: 'default',
        ContainerIDFile: '/id',
        Memory: 67_108_864,
        LogConfig: { Type: 'json-file', Config: { 'max-file': '9' } },
      },
    })
    const { docker, ours } = await compare('GET', '/containers/shown/json')
    for (const field of ['CapAdd', 'Isolation', 'ContainerIDFile', 'MemorySwap', 'LogConfig'])
      expect([field, ours.json.HostConfig[field]]).toEqual([field, docker.json.HostConfig[field]])
    expect(ours.json.Config.Env).toEqual(docker.json.Config.Env)
    await compare('DELETE', '/containers/shown')
  })

  it.each([
    { Driver: 'local', DriverOpts: { foo: 'bar' } },
    { DriverOpts: { type: 'tmpfs' } },
    { Name: 'a' },
    { Name: 'a b' },
  ])('refuses the volume %j in the same words', async (volume) => {
    const { docker, ours } = await compare('POST', '/volumes/create', { Name: 'v2', ...volume })
    expect(words(ours)).toBe(words(docker))
  })

  it('finds the same containers by name, port, time and state', async () => {
    const names = ['filter-a', 'filter-b', 'other']
    for (const [index, name] of names.entries()) {
      const ports = { '80/tcp': [{ HostPort: String(20_080 + index) }] }
      const published = { ExposedPorts: { '80/tcp': {} }, HostConfig: { PortBindings: ports } }
      await compare('POST', `/containers/create?name=${name}`, { ...sleeper, ...(index !== 1 && published) })
      await compare('POST', `/containers/${name}/start`)
    }
    for (const filters of [
      { name: ['^/filter-[ab]$'] },
      { name: ['(b|other)$'] },
      { name: ['['] },
      { publish: ['80'] },
      { publish: ['20080'] },
      { publish: ['20000-20090/tcp'] },
      { publish: ['20080/udp'] },
      { expose: ['80'] },
      { before: ['filter-b'] },
      { since: ['filter-a'] },
      { health: ['none'] },
      { health: ['odd'] },
    ]) {
      const path = `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filters))}`
      const { docker, ours } = await compare('GET', path)
      if (docker.status === 200) expect([filters, namesOf(ours)]).toEqual([filters, namesOf(docker)])
    }
    for (const name of names) await compare('DELETE', `/containers/${name}?force=1`)
  })

  it('lists an image under the names that were asked for', async () => {
    await compare('POST', '/images/busybox/tag?repo=team/tool&tag=v1')
    for (const query of [
      'filters={"reference":["team/*"]}',
      'filters={"reference":["busybox"]}',
      'filters={"reference":["team/tool:v2"]}',
      'filters={"reference":["team/tool:v1","busybox:latest"]}',
      'filter=busybox',
    ]) {
      const { docker, ours } = await compare('GET', `/images/json?${encodeURI(query)}`)
      const tags = ({ json }: Answer) => (json as { RepoTags: string[] }[]).map(({ RepoTags }) => RepoTags)
      expect([query, tags(ours)]).toEqual([query, tags(docker)])
    }
    await compare('DELETE', '/images/team/tool:v1')
  })

  it("shows an image's id where its name has gone", async () => {
    await compare('POST', '/images/busybox/tag?repo=passing')
    await compare('POST', '/containers/create?name=nameless', { ...sleeper, Image: 'passing' })
    await compare('POST', '/containers/nameless/start')
    await compare('DELETE', '/images/passing')
    const { docker, ours } = await compare('GET', '/containers/json')
    for (const { json } of [docker, ours]) expect(json[0].Image).toBe(json[0].ImageID)
    await compare('DELETE', '/containers/nameless?force=1')
  })

  it('refuses in the same words', async () => {
    for (const name of ['still', 'other']) await compare('POST', `/containers/create?name=${name}`, image)
    for (const [method, path] of [
      ['POST', '/containers/still/kill'],
      ['POST', '/containers/nosuch/kill'],
      ['POST', '/containers/still/rename?name=other'],
      ['DELETE', '/networks/bridge'],
      ['DELETE', '/networks/nosuch'],
    ] as const) {
      const { docker, ours } = await compare(method, path)
      expect(words(ours), path).toBe(words(docker))
    }
    for (const name of ['still', 'other']) await compare('DELETE', `/containers/${name}`)
  })
})

const sleeper = { Image: 'busybox', Cmd: ['sleep', '1000'] }
const bind = { Type: 'bind', Source: '/tmp', Target: '/b' }

/** Of a HostConfig. */
const faults = [
  { Memory: 1024 },
  { MemoryReservation: 1 },
  { MemorySwappiness: 101 },
  { CpusetCpus: '1-0' },
  { CapAdd: ['NOSUCH'] },
  { OomScoreAdj: 2000 },
  { Runtime: 'nosuch' },
  { RestartPolicy: { Name: 'nosuch' } },
  { RestartPolicy: { Name: 'no', MaximumRetryCount: 3 } },
  { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -1 } },
  { RestartPolicy: { Name: 'always' }, AutoRemove: true },
  { Mounts: [{ ...bind, Type: 'magic' }] },
  { Mounts: [{ ...bind, Source: '' }] },
  { Mounts: [{ ...bind, Source: 'relative' }] },
  { Mounts: [{ ...bind, Source: '/nosuch/directory' }] },
  { Mounts: [{ ...bind, Target: '' }] },
  { Mounts: [{ ...bind, BindOptions: { Propagation: 'odd' } }] },
  { Mounts: [{ ...bind, VolumeOptions: { NoCopy: true } }] },
  { Mounts: [{ ...bind, Type: 'volume', Source: 'v2', BindOptions: { Propagation: 'rprivate' } }] },
  { Mounts: [{ ...bind, Type: 'tmpfs' }] },
]

function namesOf({ json }: Answer): string[] {
  return (json as { Names: string[] }[]).map(({ Names }) => Names[0]!)
}

const image = { Image: 'busybox', Cmd: ['true'] }

/** Without ids, and in small letters, as all messages begin in later versions of Docker. */
function words({ json }: Answer): string {
  return (json as { message: string }).message.toLowerCase().replaceAll(/[0-9a-f]{64}/g, 'ID')
}

function unmeant(differences: string[]): string[] {
  // `meant` names a path; what lies beneath it is meant too.
  return differences.filter(
    (line) =>
      !Object.keys(meant).some(
        (path) => line === path || (/^[.:[]/.test(line.slice(path.length)) && line.startsWith(path)),
      ),
  )
}
