/**
 * Runs in the zygote what every shim will run, so that its code is loaded and compiled before the fork, and a shim
 * shares those pages instead of dirtying its own. Leaves nothing behind.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import type { ErrorCode, ErrorJson } from '@holdfast/errors'
import { closeFd, listenUnix, pipe2, probeHost, writeFd, O_NONBLOCK } from '@holdfast/core'
import { encodeStream, protocolVersion, type Method, type ShimSpec } from '@holdfast/protocol'
import { workerLauncher } from '../worker/launcher.ts'
import { LaunchWorker } from '../worker/launch-worker.ts'
import { JsonLog } from '../log/log-writer.ts'
import { startShim } from '../shim.ts'
import { warmUpBundle } from './warm-up-config.ts'
import { warmUpNetwork } from './warm-up-network.ts'

/** Seven instances of a class are counted by V8, in memory that a shim would have of its own then. */
const shims = 8
const requests = 10
const chunks = 30

/**
 * Of the last of them: what was parsed, and the shim itself. V8 forgets property names that nobody mentions, and the
 * shapes of objects of which none is left; each shim would make them anew, in pages of its own.
 */
const kept: unknown[] = []

/** `cgroupParent`: where the instance's cgroups lie; the warm-up's own are beneath it for some milliseconds. */
export async function warmUp(cgroupParent: string): Promise<void> {
  probeHost()
  warmUpNetwork()
  performance.now() // Node compiles what is behind this name at its first use: each shim would by itself
  const dir = mkdtempSync(join(tmpdir(), 'hf-zygote-'))
  try {
    warmLog(dir)
    for (let count = 1; count < shims; count++) await warmShim(join(dir, String(count)), cgroupParent)
    const { parse } = JSON
    JSON.parse = (...given) => {
      const value: unknown = parse(...given)
      kept.push(value)
      return value
    }
    try {
      await warmShim(join(dir, 'last'), cgroupParent)
    } finally {
      JSON.parse = parse
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A whole shim within this process, as a supervisor would use it. Its container's root is empty: nothing ever runs. */
async function warmShim(dir: string, cgroupParent: string): Promise<void> {
  const { config, rootfs } = warmUpBundle(dir)
  const log = { driver: 'json-file', path: join(dir, 'log'), maxSize: -1, maxFile: 1 } as const
  const spec: ShimSpec = {
    version: protocolVersion,
    id: `warm-up-${process.pid}`,
    name: 'warm-up',
    rootfs,
    log,
    stdin: { open: true, once: false },
    init: false,
    cgroupParent,
    token: '0'.repeat(64),
  }
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config))
  writeFileSync(join(dir, 'shim.json'), JSON.stringify(spec))
  const left = Promise.withResolvers<void>()
  // With a worker of its own in this process, since both are forked from it.
  const socket = join(dir, 'launch.sock')
  const listener = listenUnix(socket)
  const worker = new LaunchWorker(listener)
  const shim = await startShim({ dir, create: true, launcher: workerLauncher(socket), onLeave: left.resolve })
  const control = await open(dir, spec.token)
  kept.splice(0, 2, shim, control)
  await request(control, 'hello', { protocol: protocolVersion })
  await request(control, 'create', {})
  const streams = { channel: 1, stdin: true, stdout: true, stderr: true, logs: false }
  await request(control, 'attach', streams)
  control.send(encodeStream(1, 'stdin', Buffer.from('warm')), { binary: true })
  for (let count = 0; count < requests; count++) await request(control, 'state', {})
  await request(control, 'start', {}, 'HF_COMMAND_NOT_FOUND')
  await request(control, 'delete', { force: true })
  await left.promise
  worker.close()
  closeFd(listener)
}

function warmLog(dir: string): void {
  const log = new JsonLog(dir, { driver: 'json-file', path: `${dir}/log`, maxSize: -1, maxFile: 1 }, () => {})
  const pipe = pipe2(O_NONBLOCK)
  for (let count = 0; count < chunks; count++) {
    writeFd(pipe.write, `line ${count}\nline "${count}"\t\n`)
    log.take('stdout', pipe.read, false)
  }
  for (const fd of Object.values(pipe)) closeFd(fd)
  log.close()
}

function open(dir: string, token: string): Promise<WebSocket> {
  const socket = new WebSocket('ws://shim/control', {
    createConnection: () => connect(`${dir}/shim.sock`),
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  })
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Throws what the shim answers: a machine on which no container can be made says so here, at the very start. */
function request(socket: WebSocket, method: Method, params: object, expected?: ErrorCode): Promise<void> {
  return new Promise((resolve, reject) => {
    const onMessage = (data: unknown, isBinary: boolean) => {
      if (isBinary) return
      const frame = JSON.parse(String(data)) as { id?: number; error?: ErrorJson }
      if (frame.id === undefined) return
      socket.off('message', onMessage)
      if (frame.error && frame.error.code !== expected)
        reject(new Error(`the warm-up's ${method} failed: ${frame.error.message}`))
      else resolve()
    }
    socket.on('message', onMessage)
    socket.send(JSON.stringify({ id: 1, method, params }))
  })
}
