// Calls the CNI plugin as a runtime does: a process for each command, in a network namespace of the test's own.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { namespaceInode } from '@holdfast/core'
import { afterAll } from 'vitest'
import { inNetns } from '../src/netns.ts'
import { TestHost } from './network-fixture.ts'

export const plugin = fileURLToPath(new URL('../dist/holdfast-bridge', import.meta.url))

/** Where this file's helpers listen; they end when it goes. */
export const helpers = mkdtempSync(join(tmpdir(), 'hf-helpers-'))
afterAll(() => rmSync(helpers, { recursive: true, force: true }))

/** Has Node answer the call directly. */
export const withoutHelper = { HOLDFAST_BRIDGE_HELPERS: 'none' }

/** Those that listen in a directory of helpers' sockets. */
export function helperPids(directory = helpers): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const title = readFileSync(`/proc/${name}/cmdline`, 'utf8')
      return title.startsWith(`holdfast-bridge: helper ${directory}/`) ? [Number(name)] : []
    } catch {
      return [] // no process, or one that has gone
    }
  })
}

export interface Answer {
  status: number | null
  // Whatever it printed: tests look into it.
  // eslint-disable-next-line typescript/no-explicit-any
  json: any
  stderr: string
}

export interface Call {
  id?: string
  netns?: number | string
  interface?: string
  config?: object
  env?: Record<string, string>
  /** Default: `plugin`. */
  program?: string
}

/** One of the configuration's portMappings, to port 80. */
export const port = (hostPort: number, more: object = {}): object => ({
  hostPort,
  containerPort: 80,
  protocol: 'tcp',
  ...more,
})
/** For `CniHost.config`. */
export const publish = (...portMappings: object[]): object => ({ runtimeConfig: { portMappings } })

export class CniHost extends TestHost {
  readonly cni = join(this.stateDir, 'cni')

  static override async create(): Promise<CniHost> {
    const host = new CniHost()
    await host.run('ip link set lo up')
    return host
  }

  /** A bridge network with both families; `change` adds and replaces keys. */
  config(change: object = {}): object {
    return {
      cniVersion: '1.1.0',
      name: 'net1',
      type: 'holdfast-bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      stateDir: this.cni,
      ipam: {
        ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
      ...change,
    }
  }

  start(command: string, call: Call): ChildProcess {
    const { id = 'c1', netns, interface: name = 'eth0', config = this.config(), env = {} } = call
    const path = typeof netns === 'number' ? netnsPath(netns) : (netns ?? '')
    const child = inNetns(this.netns, () =>
      spawn(call.program ?? plugin, [], {
        env: {
          PATH: process.env['PATH'] ?? '',
          CNI_COMMAND: command,
          CNI_CONTAINERID: id,
          CNI_NETNS: path,
          CNI_IFNAME: name,
          CNI_PATH: '/usr/lib/cni',
          HOLDFAST_BRIDGE_HELPERS: helpers,
          ...env,
        },
        stdio: ['pipe', 'pipe', 'pipe'],
      }),
    )
    child.stdin!.on('error', () => undefined) // it may be killed before it has read
    child.stdin!.end(typeof config === 'string' ? config : JSON.stringify(config))
    return child
  }

  async call(command: string, call: Call = {}): Promise<Answer> {
    const child = this.start(command, call)
    let [stdout, stderr] = ['', '']
    child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const [status] = (await once(child, 'close')) as [number | null]
    return { status, json: stdout === '' ? undefined : JSON.parse(stdout), stderr }
  }

  /** Its result, or an error with what it printed. */
  // eslint-disable-next-line typescript/no-explicit-any
  async succeed(command: string, call: Call = {}): Promise<any> {
    const { status, json, stderr } = await this.call(command, call)
    if (status === 0) return json
    throw new Error(`${command}: exit status ${status}: ${JSON.stringify(json)} ${stderr}`)
  }

  async fail(
    command: string,
    call: Call = {},
  ): Promise<{ code: number; msg: string; details: string; cniVersion: string }> {
    const { status, json } = await this.call(command, call)
    if (status === 1) return json as { code: number; msg: string; details: string; cniVersion: string }
    throw new Error(`${command}: exit status ${status}, expected 1: ${JSON.stringify(json)}`)
  }

  /** Runs a command and kills it after a while; whether it was still there. */
  async kill(command: string, call: Call, milliseconds: number): Promise<boolean> {
    const child = this.start(command, call)
    const ended = once(child, 'close')
    await new Promise((resolve) => setTimeout(resolve, milliseconds)) // the moment of the kill is arbitrary
    const alive = child.kill('SIGKILL')
    await ended
    return alive
  }

  /** How long one takes here and now, so that kills are spread over all of it. */
  async duration(command: string, call: Call): Promise<number> {
    const started = performance.now()
    await this.succeed(command, call)
    return performance.now() - started
  }

  /** What the plugin left on the host: links, leases, records, published ports, guarded senders. */
  async leftovers(): Promise<string[]> {
    const links = JSON.parse(await this.run('ip -j link')) as { ifname: string }[]
    const elements = await this.run(
      `for map in publish4 publish4_any publish6 publish6_any; do nft list map inet hf-cni $map 2>/dev/null || true; done
       nft list table bridge hf-cni 2>/dev/null || true`,
    )
    return [
      ...links.map(({ ifname }) => ifname).filter((name) => /^(hf|hi)[0-9a-f]{12}$/.test(name)),
      ...this.files('leases').filter((name) => !name.startsWith('.')),
      ...this.files('attachments'),
      ...(elements.match(/elements = \{[^}]*\}/g) ?? []),
    ]
  }

  files(directory: string): string[] {
    try {
      return readdirSync(this.cni).flatMap((boot) =>
        readdirSync(join(this.cni, boot))
          .filter((network) => !network.startsWith('.')) // a lock of all of them
          .flatMap((network) => readdirSync(join(this.cni, boot, network, directory))),
      )
    } catch {
      return []
    }
  }

  /** A path that names the namespace for as long as this process lives, and goes when the test says so. */
  mortalPath(netns: number): { path: string; die: () => void } {
    const path = join(this.stateDir, `netns-${namespaceInode(netns)}`)
    symlinkSync(netnsPath(netns), path)
    return { path, die: () => rmSync(path) }
  }
}

export function netnsPath(netns: number): string {
  return `/proc/${process.pid}/fd/${netns}`
}
