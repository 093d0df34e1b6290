/**
 * Runs once, in the zygote, what every shim will run: so that its code is loaded and compiled before the fork, and a
 * shim shares those pages instead of dirtying its own. Leaves nothing behind.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import { closeFd, pipe2, probeHost, writeFd, O_NONBLOCK } from '@holdfast/core'
import { encodeStream, protocolVersion, type ShimSpec } from '@holdfast/protocol'
import { planBundle, readBundle } from './bundle.ts'
import { Control, type Handlers } from './control.ts'
import { JsonLog, NoLog } from './log-writer.ts'
import { Output } from './output.ts'
import { serve } from './server.ts'
import { readState, writeState } from './state-file.ts'

const rounds = 30

export async function warmUp(): Promise<void> {
  probeHost()
  const dir = mkdtempSync(join(tmpdir(), 'hf-zygote-'))
  try {
    warmPlan(dir)
    warmLog(dir)
    await warmSocket(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const spec: ShimSpec = {
  version: protocolVersion, id: 'warm-up', name: 'warm-up', log: { driver: 'none' },
  stdin: { open: false, once: false }, init: false, cgroupParent: '/holdfast', token: '0'.repeat(64),
}

const config = {
  ociVersion: '1.0.2',
  root: { path: 'rootfs' },
  process: { cwd: '/', args: ['true'], env: ['PATH=/bin'], user: { uid: 0, gid: 0 } },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
  ],
  linux: {
    namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
    maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys'], resources: { pids: { limit: 10 } },
  },
}

function warmPlan(dir: string): void {
  writeFileSync(`${dir}/config.json`, JSON.stringify(config))
  for (let round = 0; round < 5; round++) planBundle(readBundle(dir, spec))
  writeState(dir, { status: 'created', bootId: '', startedAt: null, execs: [] })
  readState(dir)
}

function warmLog(dir: string): void {
  const log = new JsonLog(dir, { driver: 'json-file', path: `${dir}/log`, maxSize: -1, maxFile: 1 }, () => {})
  const pipe = pipe2(O_NONBLOCK)
  for (let round = 0; round < rounds; round++) {
    writeFd(pipe.write, `line ${round}\nline "${round}"\t\n`)
    log.take('stdout', pipe.read)
  }
  for (const fd of Object.values(pipe)) closeFd(fd)
  log.close()
}

/** Requests over a control connection and output over an attached one, as a supervisor would. */
async function warmSocket(dir: string): Promise<void> {
  const output = new Output(new NoLog(), 1)
  const state = { id: 'warm-up', shimPid: 0, status: 'creating', pid: 0, keeperPid: 0, startedAt: null, exit: null,
    namespaces: {}, execs: [] } as const
  const control = new Control({ state: async () => ({ ...state, execs: [] }) } as unknown as Handlers, () => {})
  const server = await serve(`${dir}/shim.sock`, spec.token, {
    control: (socket) => control.accept(socket),
    attach: (query) => (socket) => output.attach(socket, query, false),
  })
  for (let connection = 0; connection < 3; connection++) {
    const client = await open(dir, '/control')
    await request(client, { id: 0, method: 'hello', params: { protocol: protocolVersion } })
    for (let id = 1; id <= rounds; id++) await request(client, { id, method: 'state', params: {} })
    client.close()
  }
  const attached = await open(dir, '/attach?stdout=1')
  attached.send(encodeStream('stdin', Buffer.from('warm')), { binary: true })
  output.start([])
  await new Promise((resolve) => attached.once('close', resolve))
  await server.close(1_000)
}

function open(dir: string, path: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://shim${path}`, {
    createConnection: () => connect(`${dir}/shim.sock`),
    headers: { authorization: `Bearer ${spec.token}` },
    perMessageDeflate: false,
  })
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
}

function request(socket: WebSocket, frame: object): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('message', () => resolve())
    socket.once('error', reject)
    socket.send(JSON.stringify(frame))
  })
}
