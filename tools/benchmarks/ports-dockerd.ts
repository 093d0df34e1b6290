// Debian's dockerd with many published ports: its own iptables chains, without docker-proxy.
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'

import { busyboxImage } from './busybox-image.ts'
import { dockerdIn, type Engine } from './engine.ts'
import { firstPort, nextDoor, type World } from './ports-world.ts'

/** Starts it; what it makes goes with the network namespace that it is started in. */
export async function openDocker(scratch: string): Promise<DockerSide> {
  const engine = dockerdIn(join(scratch, 'd'), ['--userland-proxy=false'])
  await engine.start()
  const daemon = engine.processes().find(({ title }) => title.startsWith('dockerd'))
  if (!daemon) throw new Error('dockerd is not to be found')
  await engine.json('POST', '/images/create?fromSrc=-&repo=bench&tag=latest', busyboxImage(scratch))
  return new DockerSide(engine, openSync(`/proc/${daemon.pid}/ns/net`, 'r'))
}

export class DockerSide {
  readonly #engine: Engine
  readonly #host: number
  readonly #client: number
  #current: { id: string; netns: number } | undefined

  constructor(engine: Engine, host: number) {
    this.#engine = engine
    this.#host = host
    this.#client = nextDoor(host)
  }

  world(): World {
    return { client: this.#client, container: this.#current!.netns, host: '192.0.2.1' }
  }

  /** The start of a container with so many ports, in milliseconds. */
  async startWith(count: number): Promise<number> {
    await this.#drop()
    const { id, milliseconds } = await this.#start(
      Array.from({ length: count }, (_, index) => firstPort + index),
    )
    const { State } = await this.#engine.json<{ State: { Pid: number } }>('GET', `/containers/${id}/json`)
    this.#current = { id, netns: openSync(`/proc/${State.Pid}/ns/net`, 'r') }
    return milliseconds
  }

  async close(): Promise<void> {
    await this.#drop()
    await this.#engine.stop()
    for (const netns of [this.#host, this.#client]) closeSync(netns)
  }

  async #drop(): Promise<void> {
    if (!this.#current) return
    await this.#remove(this.#current.id)
    closeSync(this.#current.netns)
    this.#current = undefined
  }

  async #start(ports: number[]): Promise<{ id: string; milliseconds: number }> {
    const bindings = ports.map((port) => ({ HostIp: '0.0.0.0', HostPort: String(port) }))
    const { Id: id } = await this.#engine.json<{ Id: string }>('POST', '/containers/create', {
      Image: 'bench',
      Cmd: ['sleep', '3600'],
      ExposedPorts: { '80/tcp': {} },
      HostConfig: { PortBindings: ports.length > 0 ? { '80/tcp': bindings } : {} },
    })
    const begin = performance.now()
    await this.#engine.json('POST', `/containers/${id}/start`)
    return { id, milliseconds: performance.now() - begin }
  }

  #remove(id: string): Promise<unknown> {
    return this.#engine.json('DELETE', `/containers/${id}?force=1`)
  }
}
