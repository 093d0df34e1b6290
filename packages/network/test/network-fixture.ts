// A host of the test's own: a network namespace with its loopback up, and whatever else is attached to it.
import { spawn, type ChildProcess } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNamespace, openSocketIn } from '@holdfast/core'
import { inNetns } from '../src/netns.ts'
import {
  openBridgeNetwork,
  type Attachment,
  type BridgeNetwork,
  type BridgeOptions,
  type PortMapping,
} from '../src/index.ts'

export class TestHost implements AsyncDisposable {
  readonly netns = createNamespace('net')
  readonly stateDir = mkdtempSync(join(tmpdir(), 'hf-net-'))
  #count = 0
  readonly #closers: (() => unknown)[] = []

  static async create(): Promise<TestHost> {
    const host = new TestHost()
    await host.run('ip link set lo up')
    return host
  }

  /** A network of this host, with both families unless told otherwise. */
  async open(change: Partial<BridgeOptions> = {}): Promise<BridgeNetwork> {
    const network = await openBridgeNetwork({
      name: 'test',
      bridge: 'hf0',
      table: 'hft',
      ipMasq: true,
      stateDir: join(this.stateDir, 'leases'),
      subnets: [{ subnet: '10.77.0.0/24' }, { subnet: 'fd00:77::/64' }],
      hostNetns: this.netns,
      ...change,
    })
    this.#closers.push(() => network.close())
    return network
  }

  /** A new namespace, attached. */
  async container(
    network: BridgeNetwork,
    ports: PortMapping[] = [],
    id = `c${++this.#count}`,
  ): Promise<TestContainer> {
    const netns = this.namespace()
    const attachment = await network.attach({ id, netns, interface: 'eth0', ports })
    return {
      netns,
      attachment,
      ip: attachment.addresses[0]!.address,
      ip6: attachment.addresses[1]?.address ?? '',
    }
  }

  namespace(): number {
    const netns = createNamespace('net')
    this.#closers.push(() => closeSync(netns))
    return netns
  }

  /**
   * A machine next door: 192.0.2.1 and fd00:2::1 here, 192.0.2.2 and fd00:2::2 there, which routes everything
   * to us.
   */
  async neighbour(): Promise<number> {
    const netns = this.namespace()
    const there = `/proc/${process.pid}/fd/${netns}`
    await this.run(`ip link add up0 type veth peer name up0 netns ${there}
      ip addr add 192.0.2.1/24 dev up0; ip addr add fd00:2::1/64 dev up0 nodad; ip link set up0 up`)
    await run(
      netns,
      `ip addr add 192.0.2.2/24 dev up0; ip addr add fd00:2::2/64 dev up0 nodad
      ip link set up0 up; ip link set lo up; ip route add 10.77.0.0/16 via 192.0.2.1`,
    )
    return netns
  }

  run(command: string): Promise<string> {
    return run(this.netns, command)
  }

  /** Answers each connection or datagram with `NAME PEER-ADDRESS`. */
  async serve(
    netns: number,
    name: string,
    port: number,
    kind: 'tcp' | 'udp' = 'tcp',
    address = '0.0.0.0',
  ): Promise<void> {
    const server =
      kind === 'tcp' ? await serveTcp(netns, name, address, port) : await serveUdp(netns, name, address, port)
    this.#closers.push(() => server.close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
    closeSync(this.netns)
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}

export interface TestContainer {
  netns: number
  attachment: Attachment
  ip: string
  ip6: string
}

/** A shell command inside a namespace; what it printed. Fails with what it said. */
export async function run(netns: number, command: string): Promise<string> {
  const { status, stdout, stderr } = await attempt(netns, command)
  if (status !== 0) throw new Error(`${command}: exit status ${status}: ${stderr}${stdout}`)
  return stdout
}

export async function attempt(
  netns: number,
  command: string,
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child: ChildProcess = inNetns(netns, () =>
    spawn('sh', ['-ec', command], { stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  let stdout = ''
  let stderr = ''
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout: stdout.trim(), stderr }
}

/** What a TCP server at the other end said; empty where nobody answered in time. */
export async function fetchTcp(netns: number, address: string, port: number, seconds = 5): Promise<string> {
  return (await attempt(netns, `busybox nc -w ${seconds} ${address} ${port} </dev/null`)).stdout
}

/** What a UDP server answered; empty where nobody did. */
export async function fetchUdp(netns: number, address: string, port: number, from?: Socket): Promise<string> {
  const socket = from ?? (await udpSocket(netns, address.includes(':') ? '::' : '0.0.0.0', 0))
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(1_000) })
    socket.send('?', port, address)
    const [message] = (await answer) as [Buffer]
    return message.toString()
  } catch {
    return ''
  } finally {
    if (!from) socket.close()
  }
}

export async function udpSocket(netns: number, address: string, port: number): Promise<Socket> {
  const v6 = address.includes(':')
  const fd = openSocketIn(netns, { family: v6 ? 'inet6' : 'inet', type: 'dgram', bind: { address, port } })
  const socket = createSocket(v6 ? 'udp6' : 'udp4')
  const listening = once(socket, 'listening') // emitted before bind returns
  socket.bind({ fd })
  await listening
  return socket
}

async function serveTcp(netns: number, name: string, address: string, port: number): Promise<Server> {
  const fd = openSocketIn(netns, {
    family: address.includes(':') ? 'inet6' : 'inet',
    type: 'stream',
    bind: { address, port },
    listen: 16,
    reuse: true,
  })
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(`${name} ${socket.remoteAddress ?? ''}\n`)
  })
  server.listen({ fd })
  await once(server, 'listening')
  return server
}

async function serveUdp(netns: number, name: string, address: string, port: number): Promise<Socket> {
  const socket = await udpSocket(netns, address, port)
  socket.on('message', (_message, peer) => socket.send(`${name} ${peer.address}`, peer.port, peer.address))
  return socket
}
