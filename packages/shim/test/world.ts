/** A shim's directory with a busybox root, and a client for it, for root tests. */
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { protocolVersion, type ShimEvent, type ShimSpec } from '@holdfast/protocol'
import { connectShim, type ShimClient } from '../../supervisor/src/shims/shim-client.ts'
import { ZygoteClient, type ZygoteOptions } from '../../supervisor/src/shims/zygote-client.ts'

export interface WorldOptions extends Partial<Pick<ShimSpec, 'stdin' | 'log' | 'init'>> {
  args: string[]
  terminal?: boolean
  env?: string[]
  config?: (config: Record<string, any>) => void
}

export class World {
  readonly root: string
  readonly rootfs: string
  readonly zygote: ZygoteClient
  readonly logs: string[] = []
  readonly #bundles: Bundle[] = []

  private constructor(root: string, zygote: ZygoteClient, logs: string[]) {
    this.root = root
    this.rootfs = join(root, 'rootfs')
    this.zygote = zygote
    this.logs = logs
    makeRootfs(this.rootfs)
  }

  static async open(options: ZygoteOptions = {}): Promise<World> {
    const root = mkdtempSync(join(tmpdir(), 'hfs-'))
    chmodSync(root, 0o755)
    const logs: string[] = []
    const zygote = await ZygoteClient.start({
      cgroupParent: '/hf-shim-test',
      launchSocket: join(root, 'launch.sock'),
      onLog: (line) => logs.push(line),
      ...options,
    })
    return new World(root, zygote, logs)
  }

  /** Writes the bundle; nothing is started. */
  bundle({ args, terminal = false, env = [], config: change, ...rest }: WorldOptions): Bundle {
    const name = `c${this.#bundles.length}`
    const dir = join(this.root, name)
    mkdirSync(dir, { mode: 0o700 })
    const id = randomBytes(32).toString('hex')
    const config: Record<string, any> = {
      ociVersion: '1.3.0',
      root: { path: this.rootfs },
      process: {
        terminal,
        cwd: '/',
        args,
        env: ['PATH=/bin', ...env],
        user: { uid: 0, gid: 0 },
        capabilities: Object.fromEntries(
          ['bounding', 'effective', 'permitted'].map((set) => [
            set,
            ['CAP_KILL', 'CAP_SETUID', 'CAP_SETGID', 'CAP_CHOWN'],
          ]),
        ),
      },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
        {
          destination: '/dev',
          type: 'tmpfs',
          source: 'tmpfs',
          options: ['nosuid', 'mode=755', 'size=65536k'],
        },
        {
          destination: '/dev/pts',
          type: 'devpts',
          source: 'devpts',
          options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
        },
        { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] },
      ],
      linux: {
        namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
        cgroupsPath: `/hf-shim-test/${id}`,
        resources: { pids: { limit: 100 } },
      },
    }
    change?.(config)
    const spec: ShimSpec = {
      version: protocolVersion,
      id,
      name,
      init: false,
      cgroupParent: '/hf-shim-test',
      log: { driver: 'json-file', path: join(dir, 'x-json.log'), maxSize: -1, maxFile: 1 },
      stdin: { open: false, once: false },
      token: randomBytes(32).toString('hex'),
      ...rest,
    }
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config))
    writeFileSync(join(dir, 'shim.json'), JSON.stringify(spec))
    const bundle = { dir, spec, config }
    this.#bundles.push(bundle)
    return bundle
  }

  async run(options: WorldOptions): Promise<Running> {
    const bundle = this.bundle(options)
    const { pid } = await this.zygote.fork({ dir: bundle.dir })
    return this.connect(bundle, pid)
  }

  async connect(bundle: Bundle, shimPid: number): Promise<Running> {
    const client = await connectShim({ dir: bundle.dir, token: bundle.spec.token, deadlineMs: 45_000 })
    return new Running(bundle, shimPid, client)
  }

  /** The next shim of a container whose shim was killed. */
  async adopt(bundle: Bundle): Promise<Running> {
    const { pid } = await this.zygote.fork({ dir: bundle.dir })
    return this.connect(bundle, pid)
  }

  /** Ends what a failed test has left, too. */
  async close(): Promise<void> {
    for (const bundle of this.#bundles) {
      if (!existsSync(join(bundle.dir, 'shim.sock'))) continue
      const { dir, spec } = bundle
      const client = await connectShim({ dir, token: spec.token, deadlineMs: 200 }).catch(() => undefined)
      const run = client ? new Running(bundle, client.pid, client) : await this.adopt(bundle)
      await run.delete()
    }
    await this.zygote.close()
    rmSync(this.root, { recursive: true, force: true })
    removeCgroupParents()
  }
}

export interface Bundle {
  dir: string
  spec: ShimSpec
  config: Record<string, any>
}

export class Running {
  readonly bundle: Bundle
  readonly dir: string
  readonly shimPid: number
  readonly client: ShimClient
  readonly events: ShimEvent[] = []
  #waiters: { name: string; resolve: (event: ShimEvent) => void }[] = []

  constructor(bundle: Bundle, shimPid: number, client: ShimClient) {
    this.bundle = bundle
    this.dir = bundle.dir
    this.shimPid = shimPid
    this.client = client
    client.on('event', (event) => {
      this.events.push(event)
      this.#waiters = this.#waiters.filter(
        (each) => each.name !== event.event || (each.resolve(event), false),
      )
    })
  }

  event<E extends ShimEvent['event']>(name: E): Promise<Extract<ShimEvent, { event: E }>> {
    const seen = this.events.find((each) => each.event === name)
    type Wanted = Extract<ShimEvent, { event: E }>
    if (seen) return Promise.resolve(seen as Wanted)
    return new Promise((resolve) =>
      this.#waiters.push({ name, resolve: resolve as (event: ShimEvent) => void }),
    )
  }

  async createAndStart(): Promise<void> {
    await this.client.request('create', {})
    await this.client.request('start', {})
  }

  /** The log's texts, one after the other. */
  log(): string {
    const path = join(this.dir, 'x-json.log')
    if (!existsSync(path)) return ''
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { log: string }).log)
      .join('')
  }

  /** Resolves when the shim has said goodbye. */
  /** SIGKILL for the shim; its client knows of it afterwards. */
  async killShim(): Promise<void> {
    const lost = new Promise((resolve) => this.client.once('close', resolve))
    process.kill(this.shimPid, 'SIGKILL')
    await lost
  }

  async delete(): Promise<void> {
    const gone = new Promise((resolve) => this.client.once('close', resolve))
    await this.client.request('delete', { force: true })
    await gone
  }

  leftovers(): string[] {
    return readdirSync(this.dir).sort()
  }
}

function makeRootfs(rootfs: string): void {
  for (const dir of ['bin', 'proc', 'dev', 'tmp', 'etc', 'sys', 'root'])
    mkdirSync(join(rootfs, dir), { recursive: true })
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)) {
    if (applet !== 'busybox') symlinkSync('busybox', join(rootfs, 'bin', applet))
  }
  writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv/www:/bin/sh\n')
  writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\nwww:x:34:\nadm:x:4:web\n')
}

function removeCgroupParents(): void {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    if (!/ - cgroup2? /.test(line)) continue
    try {
      rmSync(`${line.split(' ')[4]}/hf-shim-test`, { recursive: false, force: true })
    } catch {
      // Another test file still has a container in it, or it isn't there.
    }
  }
}
