// An Engine with no kernel behind it: containers "run" a JavaScript function. For the tests of the API alone.
import { HoldfastError } from '@holdfast/errors'
import type { Image, ImageStore } from '@holdfast/images'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { ContainerConfig, HostConfig } from '../engine/container-config.ts'
import type { ContainerRecord, ExecRecord } from '../engine/container-record.ts'
import type {
  AttachOptions,
  AttachSession,
  Engine,
  ExecOptions,
  ExecStartOptions,
  LogEntry,
  LogOptions,
  LogStream,
} from '../engine/engine.ts'
import type { EngineEvent, EventFilter } from '../engine/events/events.ts'
import { mergeImageDefaults } from '../engine/image-defaults.ts'
import { frameHeader } from './stream-frame.ts'

const busybox: Image = {
  id: `sha256:${'1'.repeat(64)}`,
  repoTags: ['busybox:latest'],
  repoDigests: [],
  config: {
    architecture: 'amd64',
    os: 'linux',
    created: '2026-01-02T03:04:05Z',
    config: { Env: ['PATH=/bin', 'A=image'], Cmd: ['sh'], Labels: { from: 'image' } },
    rootfs: { type: 'layers', diff_ids: [`sha256:${'2'.repeat(64)}`] },
    history: [{ created: '2026-01-02T03:04:05Z', created_by: 'import' }],
  },
  layers: [{ chainId: `sha256:${'3'.repeat(64)}`, size: 1000 }],
  size: 1000,
  lastTagged: '',
}

interface Process {
  record: ContainerRecord
  stdin: PassThrough
  output: { stream: 'stdout' | 'stderr'; data: Buffer }[]
  watchers: Set<(chunk: { stream: 'stdout' | 'stderr'; data: Buffer } | undefined) => void>
  exited: PassThrough
}

export class MemoryEngine implements Engine {
  readonly instance = 'memory'
  readonly processes_ = new Map<string, Process>()
  readonly execs = new Map<string, { record: ExecRecord; options: ExecOptions }>()
  readonly calls: { verb: string; arguments: unknown[] }[] = []
  readonly past: EngineEvent[] = []
  resized: unknown
  /** Execs are launched when it resolves. */
  launch: Promise<void> = Promise.resolve()

  readonly images: ImageStore = {
    list: () => [busybox],
    get: (ref: string) => {
      if (['busybox', 'busybox:latest', busybox.id].includes(ref)) return busybox
      throw new HoldfastError('HF_IMAGE_NOT_FOUND', `No such image: ${ref}`)
    },
    tag: (ref: string, target: string) => void this.calls.push({ verb: 'tag', arguments: [ref, target] }),
    import: async (tar, options) => {
      let bytes = 0
      for await (const chunk of tar) bytes += (chunk as Buffer).length
      this.calls.push({ verb: 'import', arguments: [bytes, options] })
      return busybox.id
    },
    load: async (tar, onProgress) => {
      tar.resume()
      await once(tar, 'end')
      onProgress('Loaded image: busybox:latest')
      return { ids: [busybox.id], references: ['busybox:latest'] }
    },
  } as Partial<ImageStore> as ImageStore

  async info() {
    return {
      id: 'ID',
      version: '0.0.0',
      containers: { total: 0, running: 0, paused: 0, stopped: 0 },
      images: 1,
      dataRoot: '/data',
      cgroupVersion: 2 as const,
      warnings: [],
    }
  }

  async create(name: string | undefined, config: ContainerConfig, hostConfig: HostConfig, networking: never) {
    this.calls.push({ verb: 'create', arguments: [name, config, hostConfig, networking] })
    const image = this.images.get(config.Image)
    const merged = mergeImageDefaults(config, image.config.config)
    const id = randomBytes(32).toString('hex')
    const [path = '', ...args] = merged.Cmd ?? []
    const record: ContainerRecord = {
      id,
      name: name ?? `made_up_${id.slice(0, 4)}`,
      created: new Date().toISOString(),
      config: merged,
      hostConfig,
      networking,
      imageId: image.id,
      path,
      args,
      networks: {},
      mounts: [],
      logPath: '',
      resolvConfPath: '',
      hostnamePath: '',
      hostsPath: '',
      idRange: { start: 0x70000000, size: 65536 },
      restartCount: 0,
      execIds: [],
      rootfs: null,
      state: {
        status: 'created',
        pid: 0,
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: '',
        finishedAt: '',
      },
    }
    const exited = new PassThrough()
    this.processes_.set(id, { record, stdin: new PassThrough(), output: [], watchers: new Set(), exited })
    return { id, warnings: [] }
  }

  async start(ref: string) {
    const process = this.#process(ref)
    const { state, path, args } = process.record
    if (state.status === 'running') return false
    if (path === 'nosuch') throw new HoldfastError('HF_COMMAND_NOT_FOUND', 'exec "nosuch"')
    Object.assign(state, { status: 'running', pid: 4242, startedAt: new Date().toISOString() })
    if (path === 'echo') {
      this.emit(process, 'stdout', `${args.join(' ')}\n`)
      this.exit(process, 0)
    } else if (path === 'both') {
      this.emit(process, 'stdout', 'out\n')
      this.emit(process, 'stderr', 'err\n')
      this.exit(process, 3)
    } else if (path === 'cat') {
      process.stdin.on('data', (chunk: Buffer) => this.emit(process, 'stdout', chunk))
      process.stdin.on('end', () => this.exit(process, 0)).on('error', () => {})
    } else if (path === 'flood') {
      for (let index = 0; index < 64; index += 1) this.emit(process, 'stdout', Buffer.alloc(65_536, index))
      this.exit(process, 0)
    }
    return true
  }

  emit(process: Process, stream: 'stdout' | 'stderr', data: string | Buffer): void {
    const chunk = { stream, data: Buffer.from(data) }
    process.output.push(chunk)
    for (const watcher of process.watchers) watcher(chunk)
  }

  exit(process: Process, exitCode: number): void {
    Object.assign(process.record.state, {
      status: 'exited',
      exitCode,
      pid: 0,
      finishedAt: new Date().toISOString(),
    })
    for (const watcher of process.watchers) watcher(undefined)
    process.exited.end()
    process.exited.resume()
    if (process.record.hostConfig.AutoRemove) this.processes_.delete(process.record.id)
  }

  async stop(ref: string, options: object) {
    this.calls.push({ verb: 'stop', arguments: [ref, options] })
    const process = this.#process(ref)
    if (process.record.state.status !== 'running') return false
    this.exit(process, 143)
    return true
  }

  async restart() {}
  async kill(ref: string, signal: string) {
    this.calls.push({ verb: 'kill', arguments: [ref, signal] })
    this.exit(this.#process(ref), 137)
  }
  async pause() {}
  async unpause() {}
  async rename(ref: string, name: string) {
    this.#process(ref).record.name = name
  }
  async remove(ref: string, options: object) {
    this.calls.push({ verb: 'remove', arguments: [ref, options] })
    this.processes_.delete(this.get(ref).id)
  }
  async wait(ref: string, condition: string, signal: AbortSignal) {
    const process = this.#process(ref)
    const exit = async () => {
      const over = process.record.state.status === 'exited' && condition !== 'next-exit'
      if (!over && !process.exited.closed) await once(process.exited, 'close', { signal })
      return { statusCode: process.record.state.exitCode }
    }
    return { exit: exit() }
  }
  get(ref: string) {
    return this.#process(ref).record
  }
  list() {
    return [...this.processes_.values()].map(({ record }) => record).reverse()
  }
  async sizes() {
    return { rw: 10, rootFs: 1010 }
  }

  async attach(ref: string, options: AttachOptions): Promise<AttachSession> {
    this.calls.push({ verb: 'attach', arguments: [ref, options] })
    return this.#session(this.#process(ref), this.#process(ref).record.config.Tty)
  }

  #session(process: Process, tty: boolean): AttachSession {
    const queue: ({ stream: 'stdout' | 'stderr'; data: Buffer } | undefined)[] = []
    let wake = () => {}
    const watcher = (chunk: (typeof queue)[number]) => {
      queue.push(chunk)
      wake()
    }
    process.watchers.add(watcher)
    async function* output() {
      for (;;) {
        while (queue.length > 0) {
          const chunk = queue.shift()
          if (!chunk) return
          yield chunk
        }
        await new Promise<void>((resolve) => (wake = resolve))
      }
    }
    return {
      tty,
      output: output(),
      write: async (data) => {
        if (process.stdin.destroyed) throw new Error('the container takes no input')
        process.stdin.write(data)
      },
      end: () => void process.stdin.end(),
      close: () => {
        process.watchers.delete(watcher)
        watcher(undefined)
      },
    }
  }

  async resize(_ref: string, size: object) {
    this.resized = size
  }
  async processes() {
    return [process.pid]
  }
  async logs(ref: string, options: LogOptions): Promise<LogStream> {
    this.calls.push({ verb: 'logs', arguments: [ref, options] })
    const { output } = this.#process(ref)
    const time = '2026-01-01T00:00:00.000000001Z'
    return {
      async *[Symbol.asyncIterator](): AsyncIterator<LogEntry> {
        for (const chunk of output) yield { ...chunk, time }
      },
      async *frames({ timestamps, multiplexed }) {
        for (const { stream, data } of output) {
          const line = timestamps ? Buffer.concat([Buffer.from(`${time} `), data]) : data
          yield multiplexed ? Buffer.concat([frameHeader(stream, line.length), line]) : line
        }
      },
    }
  }

  expectExec() {}

  async execCreate(ref: string, options: ExecOptions) {
    const { id: containerId } = this.get(ref)
    const id = randomBytes(32).toString('hex')
    const record: ExecRecord = {
      id,
      containerId,
      running: false,
      exitCode: null,
      pid: 0,
      tty: options.tty,
      openStdin: options.attachStdin,
      openStdout: options.attachStdout,
      openStderr: options.attachStderr,
      args: options.args,
      user: options.user,
      privileged: options.privileged,
      detachKeys: options.detachKeys,
    }
    this.execs.set(id, { record, options })
    return id
  }
  async execStart(execId: string, { detach, tty, accepted }: ExecStartOptions) {
    const { record, options } = this.#exec(execId)
    if (record.exitCode !== null)
      throw new HoldfastError('HF_CONTAINER_STATE', `exec command ${execId} has already run`)
    accepted?.()
    await this.launch
    if (options.args[0] === 'nosuch') {
      record.exitCode = 127
      throw new HoldfastError('HF_COMMAND_NOT_FOUND', 'exec: "nosuch": executable file not found in $PATH')
    }
    const process: Process = {
      record: { hostConfig: {}, state: {} } as ContainerRecord,
      stdin: new PassThrough(),
      output: [],
      watchers: new Set(),
      exited: new PassThrough(),
    }
    record.exitCode = 0
    if (detach) return undefined
    const session = this.#session(process, tty)
    if (options.args[0] === 'cat') {
      process.stdin.on('data', (chunk: Buffer) => this.emit(process, 'stdout', chunk))
      process.stdin.on('end', () => this.exit(process, 0))
    } else {
      this.emit(process, 'stdout', `${options.args.join(' ')}\n`)
      this.exit(process, 0)
    }
    return session
  }
  async execGet(execId: string) {
    return this.#exec(execId).record
  }
  async execResize(_id: string, size: object) {
    this.resized = size
  }

  async *events(filter: EventFilter, signal: AbortSignal) {
    yield* this.past.filter((event) => filter.matches(event))
    if (filter.until === undefined) await once(signal, 'abort')
  }
  announce(ref: string, action: string, attributes: Record<string, string> = {}) {
    this.calls.push({ verb: 'announce', arguments: [ref, action, attributes] })
  }
  announcePrune(type: string, reclaimed: number) {
    this.calls.push({ verb: 'announcePrune', arguments: [type, reclaimed] })
  }
  async namespaces() {
    return []
  }
  namedNamespaces() {
    return []
  }
  async createNamespace(type: string, name: string, owner: string) {
    return { type, name, owner: owner || 'host', path: `/run/ns/${type}/${name}`, ino: 1, ownerIno: 2 }
  }
  removeNamespace(type: string, name: string) {
    this.calls.push({ verb: 'removeNamespace', arguments: [type, name] })
  }
  async explain() {
    return { config: {}, spec: {} }
  }
  networks() {
    return [
      {
        id: 'b'.repeat(64),
        name: 'bridge',
        driver: 'bridge' as const,
        created: '2026-01-01T00:00:00Z',
        enableIPv6: false,
        subnets: [{ subnet: '10.213.0.0/24', gateway: '10.213.0.1' }],
        options: {},
      },
    ]
  }
  volumes() {
    return [{ name: 'v1', mountpoint: '/data/volumes/v1', created: '2026-01-01T00:00:00Z', labels: {} }]
  }
  async createVolume(name: string, labels: Record<string, string>) {
    return { name, mountpoint: `/data/volumes/${name}`, created: '2026-01-01T00:00:00Z', labels }
  }
  async removeVolume(name: string, options: object) {
    this.calls.push({ verb: 'removeVolume', arguments: [name, options] })
  }
  async removeImage(ref: string) {
    return [{ Untagged: ref }]
  }

  #process(ref: string): Process {
    const plain = ref.replace(/^\//, '')
    for (const process of this.processes_.values()) {
      if (process.record.name === plain || process.record.id.startsWith(plain)) return process
    }
    throw new HoldfastError('HF_CONTAINER_NOT_FOUND', `No such container: ${ref}`)
  }

  #exec(id: string) {
    const exec = this.execs.get(id)
    if (!exec) throw new HoldfastError('HF_EXEC_NOT_FOUND', `No such exec instance: ${id}`)
    return exec
  }
}
