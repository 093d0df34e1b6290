// The warm helper behind the front end: what comes of a call is the same with it, without it, and when either is killed.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  closeFd,
  connectUnix,
  memfdCreate,
  namespaceInode,
  receiveMessage,
  sendMessage,
} from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Host } from '../src/attachment/host.ts'
import { unlistLink } from '../src/attachment/unlist-link.ts'
import { NetlinkSocket, NETLINK_ROUTE } from '../src/netlink/netlink.ts'
import { getLink } from '../src/netlink/rtnetlink.ts'
import {
  CniHost,
  helperPids,
  helpers,
  netnsPath,
  plugin,
  publish,
  port,
  withoutHelper,
} from './cni-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const sockets = (directory = helpers): string[] =>
  readdirSync(directory).filter((name) => /^\.helper-[0-9a-f]{16}$/.test(name))

/** A helper that is there, and its socket. */
async function helper(): Promise<{ pid: number; socket: string }> {
  await host.succeed('VERSION')
  const [pid] = await eventually(() => helperPids().length === 1 && helperPids())
  return { pid: pid!, socket: join(helpers, sockets()[0]!) }
}

/** An IPAM plugin that is a shell script: `answer` prints an address, `$CNI_COMMAND` says what is asked. */
function ipamPlugin(at: CniHost, script: string): { config: object; env: Record<string, string> } {
  const directory = mkdtempSync(join(at.stateDir, 'plugins-'))
  const answer = `answer() { [ $CNI_COMMAND = ADD ] || exit 0; echo '{"cniVersion":"1.1.0","ips":[{"address":"10.77.0.9/24"}]}'; }`
  writeFileSync(join(directory, 'scripted'), `#!/bin/sh\n${answer}\n${script}\n`)
  chmodSync(join(directory, 'scripted'), 0o755)
  return { config: at.config({ ipam: { type: 'scripted' } }), env: { CNI_PATH: directory } }
}

describe.skipIf(process.getuid?.() !== 0)('the helper', { timeout: 90_000 }, () => {
  it('answers one call after another, in whichever network namespace, and holds none of them', async () => {
    const { pid } = await helper()
    const other = await CniHost.create()
    const netns = host.namespace()
    await Promise.all([
      host.succeed('ADD', { netns }),
      other.succeed('ADD', { netns: other.namespace(), config: other.config() }),
    ])
    expect(helperPids()).toEqual([pid])
    const own = statSync(`/proc/${pid}/ns/net`).ino
    const theirs = [host, other].map((each) => Number(namespaceInode(each.netns)))
    expect([...theirs, statSync('/proc/self/ns/net').ino]).not.toContain(own)
    expect(await other.run('ip -br link')).toContain('cni0')
    await host.succeed('DEL', { netns })
    await other[Symbol.asyncDispose]()
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/')
  })

  it('prints and returns what Node does that answers directly', async () => {
    const answers = async (
      at: CniHost,
      more: Record<string, string>,
    ): Promise<[string, number, object, string][]> => {
      const netns = at.mortalPath(at.namespace()).path
      const config = at.config(publish(port(8080)))
      const calls: [string, Call][] = [
        ['VERSION', { config: { cniVersion: '0.4.0' } }],
        ['STATUS', { config: at.config() }],
        ['ADD', { netns, config }],
        ['ADD', { netns, config }], // it is there
        ['CHECK', { netns, config }], // without prevResult
        ['DEL', { netns, config }],
        ['DEL', { config }],
        ['ADD', { netns: '/run/nowhere', config }],
        ['ADD', { netns, config: at.config({ vlan: 'x' }) }],
        ['ADD', { netns, config: at.config({ cniVersion: '9.9.9' }) }],
        ['ADD', { netns, config: at.config({ ipam: { type: 'nosuch' } }) }],
        ['ADD', { netns, ...ipamPlugin(at, 'echo "said" >&2; echo {}; exit 3') }],
        ['ADD', { netns, ...ipamPlugin(at, `echo '{"code":77,"msg":"full"}'; exit 1`) }],
        ['ADD', { netns, ...ipamPlugin(at, 'kill -9 $$') }],
        ['GC', { config: at.config({ 'cni.dev/valid-attachments': [] }) }],
        ['NOSUCH', { config }],
      ]
      const all: [string, number, object, string][] = []
      for (const [command, call] of calls) {
        const { status, json, stderr } = await at.call(command, { ...call, env: { ...call.env, ...more } })
        // The host's end has a MAC address of chance.
        const text = JSON.stringify(json ?? '')
          .replaceAll(/netns-[0-9]+/g, 'netns')
          .replaceAll(/"mac":"[^"]*"/g, '')
          .replaceAll(at.stateDir, '')
        all.push([
          command,
          status ?? -1,
          JSON.parse(text.replaceAll(',,', ',').replaceAll(',}', '}')),
          stderr,
        ])
      }
      return all.map((each) => [each[0], each[1], each[2], each[3].replaceAll(at.stateDir, '')])
    }
    const other = await CniHost.create()
    const direct = await answers(other, withoutHelper)
    await other[Symbol.asyncDispose]()
    const warm = await answers(host, {})
    expect(helperPids()).toHaveLength(1)
    expect(warm).toEqual(direct)
    expect(warm.map((each) => each[1])).toEqual([0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1])
  })

  it('has link, name, port and address free when DEL has returned', async () => {
    const [a, b] = [host.namespace(), host.namespace()]
    const config = host.config({
      runtimeConfig: { ips: ['10.77.0.9'], portMappings: [port(8080)] },
    })
    for (let round = 0; round < 6; round++) {
      const id = round % 2 === 0 ? 'same' : `c${round}`
      await host.succeed('ADD', { id, netns: round % 3 === 0 ? a : b, config })
      await host.succeed('DEL', { id, config })
      expect(await host.leftovers()).toEqual([])
    }
  })

  it('VERSION waits for nobody, and has a helper started for what comes next', async () => {
    // As podman asks with each of its commands: no path, and libcni's configuration.
    const directory = join(host.stateDir, 'of-version')
    const started = join(host.stateDir, 'started')
    const [slow, go] = [join(host.stateDir, 'node'), join(host.stateDir, 'go')]
    const wait = `while [ ! -e ${go} ]; do sleep 0.05; done`
    writeFileSync(slow, `#!/bin/sh\necho >>${started}\n${wait}\nexec ${process.execPath} "$@"\n`)
    chmodSync(slow, 0o755)
    const env = { HOLDFAST_BRIDGE_HELPERS: directory, HOLDFAST_NODE: slow }
    const asked = { config: '{"cniVersion":"0.4.0"}' as unknown as object, netns: 'dummy', env }
    const said = await host.succeed('VERSION', asked) // where it waited, it would for ever
    writeFileSync(go, '')
    const script = join(dirname(plugin), 'holdfast-bridge.cjs')
    expect(said).toEqual(await host.succeed('VERSION', { ...asked, program: script }))
    const netns = host.namespace()
    try {
      await host.succeed('ADD', { netns, env })
      await host.succeed('VERSION', asked)
      await host.succeed('DEL', { netns, env })
      expect(readFileSync(started, 'utf8')).toBe('\n')
    } finally {
      rmSync(directory, { recursive: true })
      await eventually(() => helperPids(directory).length === 0)
    }
  })

  it('is another one in another mount namespace, and after an upgrade', async () => {
    const directory = join(host.stateDir, 'run')
    const env = { ...process.env, CNI_COMMAND: 'VERSION', HOLDFAST_BRIDGE_HELPERS: directory }
    const version = (program: string[]) => {
      const { stdout } = spawnSync(program[0]!, program.slice(1), { env, input: '{}', encoding: 'utf8' })
      expect(stdout).toContain('supportedVersions')
      return sockets(directory).length
    }
    expect(version([plugin])).toBe(1)
    expect(version([plugin])).toBe(1)
    expect(version(['unshare', '-m', plugin])).toBe(2)
    expect(version(['unshare', '-n', plugin])).toBe(2)
    expect(version(['setpriv', '--no-new-privs', plugin])).toBe(3)
    expect(version(['setpriv', '--bounding-set', '-sys_time', '--inh-caps', '-sys_time', plugin])).toBe(4)
    const copy = join(host.stateDir, 'copy')
    const root = dirname(dirname(plugin))
    for (const part of ['prebuilds', 'dist/holdfast-bridge.cjs'])
      cpSync(join(root, part), join(copy, part), { recursive: true, verbatimSymlinks: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const program = join(copy, 'prebuilds', `${process.platform}-${process.arch}`, 'holdfast-bridge')
    expect(version([program])).toBe(5)
    cpSync(join(root, 'dist/holdfast-bridge.cjs'), join(copy, 'dist/new'))
    spawnSync('mv', [join(copy, 'dist/new'), join(copy, 'dist/holdfast-bridge.cjs')])
    expect(version([program])).toBe(6)
    expect(helperPids(directory)).toHaveLength(6)
    rmSync(directory, { recursive: true })
    await eventually(() => helperPids(directory).length === 0)
  })

  it('leaves its first caller’s cgroup', async (context) => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    const [, mount] = /^\d+ \d+ \S+ \S+ (\S+) .* - cgroup2 /m.exec(mounts) ?? []
    if (mount === undefined) return context.skip('no cgroup v2 is mounted')
    const cgroup = join(mount, `hf-cni-${process.pid}`)
    const directory = join(host.stateDir, 'of-cgroup')
    const env = { ...process.env, CNI_COMMAND: 'VERSION', HOLDFAST_BRIDGE_HELPERS: directory }
    mkdirSync(cgroup)
    try {
      const script = `echo $$ >${cgroup}/cgroup.procs && exec ${plugin}`
      expect(spawnSync('sh', ['-c', script], { env, input: '{}' }).status).toBe(0)
      expect(helperPids(directory)).toHaveLength(1)
      await eventually(() => readFileSync(join(cgroup, 'cgroup.procs'), 'utf8') === '')
    } finally {
      rmSync(directory, { recursive: true, force: true })
      await eventually(() => helperPids(directory).length === 0)
      rmdirSync(cgroup)
    }
  })

  it('is passed by where its directory could be somebody else’s, and where a path is this process’s own', async () => {
    const directory = join(host.stateDir, 'open')
    mkdirSync(directory)
    chmodSync(directory, 0o777)
    const netns = host.namespace()
    await host.succeed('ADD', { netns, env: { HOLDFAST_BRIDGE_HELPERS: directory } })
    expect(readdirSync(directory)).toEqual([])
    chmodSync(directory, 0o700)
    await host.succeed('DEL', { netns: '/proc/self/ns/net', env: { HOLDFAST_BRIDGE_HELPERS: directory } })
    expect(readdirSync(directory)).toEqual([])
    await host.succeed('DEL', { netns, env: { HOLDFAST_BRIDGE_HELPERS: directory } })
    expect(sockets(directory)).toHaveLength(1)
    rmSync(directory, { recursive: true })
    expect(await host.leftovers()).toEqual([])
  })
})

it.skipIf(process.getuid?.() !== 0)(
  'a link is off the kernel’s list when it is said to have gone',
  async () => {
    await host.run('ip link add hf1 type veth peer name hf2; ip link set hf1 up')
    using kernel = new Host(host.netns)
    const link = (await kernel.link('hf1'))!
    // Nothing can be sent while all of the pool's threads wait.
    const gate = join(host.stateDir, 'gate')
    spawnSync('mkfifo', [gate])
    const fd = openSync(gate, 'r+')
    const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4)
    const reads = Array.from({ length: threads }, () => promisify(read)(fd, Buffer.alloc(1), 0, 1, null))
    let gone = false
    const going = unlistLink(kernel, link).then(() => (gone = true))
    await new Promise((resolve) => setTimeout(resolve, 50)) // long enough for what should not happen
    expect(gone).toBe(false)
    const socket = NetlinkSocket.openBlocking(NETLINK_ROUTE, host.netns)
    expect((await socket.request([getLink('hf1')]))[0]).toHaveLength(1)
    writeSync(fd, Buffer.alloc(threads))
    await Promise.all([...reads, going])
    const left = await socket.request([getLink('hf1', ['ENODEV']), getLink('hf2', ['ENODEV'])])
    expect(left).toEqual([[], []])
    socket.close()
    closeSync(fd)
  },
)

describe.skipIf(process.getuid?.() !== 0)('when something hangs or is killed', { timeout: 90_000 }, () => {
  it('one call that waits keeps no other waiting', async () => {
    await helper()
    const gate = join(host.stateDir, 'gate')
    spawnSync('mkfifo', [gate])
    const { config, env } = ipamPlugin(host, `[ $CNI_COMMAND = ADD ] && read line <${gate}; answer`)
    const hung = host.call('ADD', { id: 'hung', netns: host.namespace(), config, env })
    const netns = host.namespace()
    for (let round = 0; round < 3; round++) {
      await host.succeed('ADD', { netns })
      await host.succeed('DEL', { netns })
    }
    writeFileSync(gate, 'go\n')
    expect((await hung).status).toBe(0)
    await host.succeed('DEL', { id: 'hung', config, env })
    expect(await host.leftovers()).toEqual([])
  })

  it('a helper that is killed in the middle of a call: the next one does it', async () => {
    const { pid } = await helper()
    const netns = host.namespace()
    const { config, env } = ipamPlugin(host, `kill -9 ${pid} 2>/dev/null; answer`)
    const result = await host.succeed('ADD', { netns, config, env })
    expect(result.ips[0].address).toBe('10.77.0.9/24')
    expect(helperPids()).toHaveLength(1)
    expect(helperPids()).not.toContain(pid)
    await host.succeed('CHECK', { netns, config: { ...config, prevResult: result }, env })
    await host.succeed('DEL', { netns, config, env })
    expect(await host.leftovers()).toEqual([])
  })

  it('helpers that are all killed over a call: Node does it directly', async () => {
    const { socket } = await helper()
    const netns = host.namespace()
    const killed = join(host.stateDir, 'killed')
    const kill = `for each in /proc/[0-9]*; do
      grep -qs '^holdfast-bridge: helper ${socket}' $each/cmdline && kill -9 ${'$'}{each#/proc/} && echo $each >>${killed}
    done`
    const { config, env } = ipamPlugin(host, `[ $CNI_COMMAND != ADD ] || { ${kill}; }\nanswer`)
    const result = await host.succeed('ADD', { netns, config, env })
    expect(result.ips[0].address).toBe('10.77.0.9/24')
    expect(readFileSync(killed, 'utf8').trim().split('\n')).toHaveLength(2)
    expect(helperPids()).toEqual([])
    await host.succeed('DEL', { netns, config, env })
    expect(await host.leftovers()).toEqual([])
  })

  it('a helper that is stopped: Node does it directly, and the helper nothing later', async () => {
    const { pid } = await helper()
    process.kill(pid, 'SIGSTOP')
    const netns = host.namespace()
    try {
      await host.succeed('ADD', { netns })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await host.succeed('DEL', { netns })
    await host.succeed('VERSION')
    expect(await host.leftovers()).toEqual([])
  })

  it('a caller that is killed while another plugin runs: nothing is attached', async () => {
    await helper()
    const ran = join(host.stateDir, 'ran')
    const { config, env } = ipamPlugin(host, `echo $CNI_COMMAND >>${ran}; answer; kill -9 $PPID`)
    const child = host.start('ADD', { netns: host.namespace(), config, env })
    await once(child, 'close')
    expect(existsSync(ran)).toBe(true)
    await eventually(async () => (await host.leftovers()).length === 0)
    await host.succeed('VERSION') // the helper is there
  })

  it('a caller that has gone when the container is attached: it is detached again', async () => {
    const { socket } = await helper()
    const container = host.namespace()
    const variables = {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'c1',
      CNI_NETNS: netnsPath(container),
      CNI_IFNAME: 'eth0',
    }
    const texts = ['1', ...Object.entries(variables).map(([name, value]) => `${name}=${value}`), '']
    const config = JSON.stringify(host.config(publish(port(8080))))
    const request = memfdCreate('request', Buffer.from(`${texts.join('\0')}\0${config}`))
    const fd = connectUnix(socket)
    await eventually(() => receiveMessage(fd, 16)) // hello
    sendMessage(fd, 'q', [request, host.netns])
    for (const each of [fd, request]) closeFd(each)
    // The bridge and the rules are left of it: they were the network's, and stay with DEL.
    await eventually(async () => (await host.run('ip -br link')).includes('cni0'))
    await eventually(async () => (await host.leftovers()).length === 0)
  })

  it('helpers killed again and again: each call has an answer, and DEL leaves nothing', async () => {
    const netns = host.namespace()
    const call = { netns, config: host.config({ macspoofchk: true, ...publish(port(8080)) }) }
    for (let round = 0; round < 8; round++) {
      const { pid } = await helper()
      const adding = host.call('ADD', call)
      await new Promise((resolve) => setTimeout(resolve, round * 2)) // the moment of the kill is arbitrary
      process.kill(pid, 'SIGKILL')
      const { status, json } = await adding
      // It was attached when the helper died, which had not said so yet.
      if (status !== 0) expect(json.msg).toContain('already')
      await host.succeed('DEL', call)
      expect([round, await host.leftovers()]).toEqual([round, []])
    }
  })
})

it.skipIf(process.getuid?.() !== 0)(
  'a call without standard streams ends, and says nothing to anybody else',
  async () => {
    await helper()
    const env = { ...process.env, CNI_COMMAND: 'VERSION', HOLDFAST_BRIDGE_HELPERS: helpers }
    const closing = (which: string) =>
      spawnSync('sh', ['-c', `exec ${plugin} ${which}`], { env, input: '{}', encoding: 'utf8' })
    expect(closing('<&-').stdout).toContain('supportedVersions')
    expect(closing('>&-')).toMatchObject({ status: 0, stdout: '', stderr: '' })
    expect(closing('<&- >&- 2>&-').status).toBe(0)
    await host.succeed('VERSION')
  },
)

it.skipIf(process.getuid?.() !== 0)(
  'a Node that does not start is said as the specification has it',
  async () => {
    const file = join(host.stateDir, 'node')
    writeFileSync(file, 'no program')
    chmodSync(file, 0o755)
    const env = { HOLDFAST_NODE: file, HOLDFAST_BRIDGE_HELPERS: join(host.stateDir, 'run') }
    expect(await host.fail('VERSION', { env })).toMatchObject({
      code: 199,
      msg: expect.stringContaining('Node'),
    })
  },
)
