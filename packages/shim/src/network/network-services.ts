/**
 * What the shim serves on its container's network. The code is loaded when first asked for: most containers have neither
 * names nor relays, and pay nothing. What was asked for lies in the directory, for a shim that comes later.
 */
import { readFileSync, rmSync } from 'node:fs'
import { Mutex, replaceFile } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { DnsSpec, NamespaceHandle, NetworkRequests, RelaySpec } from '@holdfast/protocol'
import type { DnsServer, LearnedAddresses, ListeningDescriptors } from '@holdfast/resolver'
import type { Handlers } from '../control.ts'
import type { Relay } from './relay.ts'
import type { ShimContext } from '../shim-context.ts'
import type { SocketVault } from './socket-vault.ts'

const dnsFile = 'dns.json'
const relaysFile = 'relays.json'
/** The resolver has given the answer by then. */
const untoldMilliseconds = 2_000

/** The container as far as its network goes. */
export interface Networked {
  check(method: keyof NetworkRequests): void
  namespaces(): { net?: NamespaceHandle }
  vault(): SocketVault | undefined
}

export class NetworkServices {
  readonly #context: ShimContext
  readonly #container: Networked
  /** One after the other: each loads code, and replaces what the one before it made. */
  readonly #mutex = new Mutex()
  #dns: { server: DnsServer; spec: DnsSpec } | undefined
  /** Where duplicates of what is listened on lie, from the first one on. */
  #vault: SocketVault | undefined
  #relays: Relay[] = []
  #closed = false
  /** Upstream answers that wait for `dns.learned`, by number. */
  readonly #untold = new Map<number, () => void>()
  #answers = 0

  constructor(context: ShimContext, container: Networked) {
    this.#context = context
    this.#container = container
  }

  handlers(): Pick<Handlers, keyof NetworkRequests> {
    const locked = (method: keyof NetworkRequests, task: () => Promise<void>) =>
      this.#mutex.run(async () => {
        this.#container.check(method)
        await task()
        return {}
      })
    return {
      'dns.set': ({ dns }) => locked('dns.set', () => this.#setDns(dns)),
      'dns.change': (change) => locked('dns.change', () => this.#changeDns(change)),
      // Not in turn: a table that is being set may wait for nobody's answer.
      'dns.learned': ({ number }) => {
        this.#untold.get(number)?.()
        return Promise.resolve({})
      },
      'relays.set': ({ relays }) => locked('relays.set', () => this.#setRelays(relays)),
    }
  }

  /** Takes up what an earlier shim of this container served. Never throws: what is amiss is logged. */
  reopen(): Promise<void> {
    return this.#mutex.run(async () => {
      const dns = this.#read(dnsFile) as DnsSpec | undefined
      const relays = this.#read(relaysFile) as RelaySpec[] | undefined
      if (relays) await this.#attempt('relaying ports', () => this.#reopenRelays(relays))
      if (dns) await this.#attempt('answering names', () => this.#openDns(dns))
    })
  }

  /** The container has ended, and its network is to go: a socket in there would keep it. */
  close(): void {
    this.#closed = true
    this.#vault?.empty() // first: what is closed below is then the last of each
    this.#vault?.close()
    this.#vault = undefined
    this.#closeDns()
    for (const relay of this.#relays.splice(0)) relay.close()
  }

  async #setDns(spec: DnsSpec | null): Promise<void> {
    if (spec === null) {
      this.#closeDns()
      rmSync(`${this.#context.dir}/${dnsFile}`, { force: true })
      return
    }
    if (this.#dns) {
      this.#dns.server.setTable(spec.table) // throws before anything has changed
      if (!same(this.#dns.spec.upstreams, spec.upstreams)) this.#dns.server.setUpstreams(spec.upstreams)
      this.#dns.spec = spec
    } else {
      await this.#openDns(spec)
    }
    this.#write(dnsFile, spec)
  }

  async #changeDns(change: NetworkRequests['dns.change']['params']): Promise<void> {
    if (!this.#dns) throw new HoldfastError('HF_CONTAINER_STATE', 'this container has no names to be changed')
    const { changeTable } = await import('./dns-socket.ts')
    const { spec } = this.#dns
    await this.#setDns({ ...spec, table: changeTable(spec.table, change) })
  }

  async #openDns(spec: DnsSpec): Promise<void> {
    const netns = this.#container.namespaces().net
    if (!netns) throw ended()
    if (netns.origin === 'host') {
      throw new HoldfastError(
        'HF_UNSUPPORTED',
        'names are answered in a network of the container’s own alone',
      )
    }
    const { openDns } = await import('./dns-socket.ts')
    if (this.#closed) throw ended()
    const onProblem = (message: string) => this.#context.log('warn', `dns: ${message}`)
    const onAnswer = (learned: LearnedAddresses) => this.#tell(learned)
    const vault = this.#openVault()
    let found: ListeningDescriptors | undefined
    const inherited = () => {
      const { datagrams, listener, ...redirect } = vault?.peek(isOfNames) ?? {}
      if (datagrams !== undefined && listener !== undefined) found = { datagrams, listener, ...redirect }
      return found
    }
    try {
      this.#dns = { server: openDns({ netns: netns.fd, spec, inherited, onProblem, onAnswer }), spec }
    } catch (error) {
      vault?.remove(isOfNames)
      throw error
    }
    if (!found) this.#putAway('names', { ...this.#dns.server.descriptors })
  }

  /** Settles when who listens has taken note, at once where nobody does; the resolver waits no longer than it likes. */
  async #tell({ name, addresses, ttl }: LearnedAddresses): Promise<void> {
    if (!this.#dns?.spec.tell) return
    const number = this.#answers++
    const noted = Promise.withResolvers<void>()
    if (this.#context.emit({ event: 'names-learned', number, name, addresses, ttl }) === 0) return
    this.#untold.set(number, noted.resolve)
    const forget = setTimeout(noted.resolve, untoldMilliseconds)
    await noted.promise
    clearTimeout(forget)
    this.#untold.delete(number)
  }

  #openVault(): SocketVault | undefined {
    return (this.#vault ??= this.#container.vault())
  }

  /** Without it they go on, and are refused while there is no shim. */
  #putAway(what: string, fds: Readonly<Record<string, number>>): void {
    if (Object.keys(fds).length === 0) return
    try {
      this.#openVault()?.put(fds)
    } catch (error) {
      this.#context.log('warn', `${what} will not outlive this shim: ${String(error)}`)
    }
  }

  /** The duplicates first: then the server's are the last, and it closes them in their order. */
  #closeDns(): void {
    this.#vault?.remove(isOfNames)
    this.#dns?.server.close()
    this.#dns = undefined
  }

  async #setRelays(specs: RelaySpec[]): Promise<void> {
    const { openRelay } = await import('./relay.ts')
    if (this.#closed) throw ended()
    const kept = this.#relays.filter(({ spec }) => specs.some((wanted) => same(spec, wanted)))
    const gone = this.#relays.filter((relay) => !kept.includes(relay))
    const opened: Relay[] = []
    try {
      for (const spec of specs) {
        if (!kept.some((relay) => same(relay.spec, spec))) opened.push(openRelay(spec))
      }
      this.#write(relaysFile, specs)
    } catch (error) {
      for (const relay of opened) relay.close()
      throw error
    }
    this.#putAway('relays', byPlace(opened))
    if (gone.length > 0) this.#vault?.remove((name) => gone.some(({ spec }) => placeOf(spec) === name))
    for (const relay of gone) relay.close()
    this.#relays = [...kept, ...opened]
  }

  /** With who waits to be accepted. One that can't be had doesn't keep the others. */
  async #reopenRelays(specs: RelaySpec[]): Promise<void> {
    const { openRelay } = await import('./relay.ts')
    if (this.#closed) return
    const isWanted = (name: string) => specs.some((spec) => placeOf(spec) === name)
    // What the shim before was killed over, after it had written down that it ends.
    this.#openVault()?.remove((name) => !isOfNames(name) && !isWanted(name))
    const found = this.#vault?.peek(isWanted) ?? {}
    const anew: Relay[] = []
    for (const spec of specs) {
      const inherited = found[placeOf(spec)]
      await this.#attempt('relaying a port', async () => {
        const relay = openRelay(spec, inherited)
        this.#relays.push(relay)
        if (inherited === undefined) anew.push(relay)
      })
    }
    this.#putAway('relays', byPlace(anew))
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      this.#context.log('error', `${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  #read(name: string): unknown {
    try {
      return JSON.parse(readFileSync(`${this.#context.dir}/${name}`, 'utf8'))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Not synced: after a crash of the machine there is no container that it could be for. */
  #write(name: string, value: unknown): void {
    replaceFile(`${this.#context.dir}/${name}`, JSON.stringify(value))
  }
}

/** Its name in the vault. */
function placeOf({ protocol, listen: { address, port } }: RelaySpec): string {
  return `${protocol} ${address} ${port}`
}

function byPlace(relays: readonly Relay[]): Record<string, number> {
  return Object.fromEntries(relays.map(({ spec, fd }) => [placeOf(spec), fd]))
}

const names: readonly string[] = [
  'datagrams',
  'listener',
  'redirect',
] satisfies (keyof ListeningDescriptors)[]

/** Of what lies in the vault. */
function isOfNames(name: string): boolean {
  return names.includes(name)
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function ended(): HoldfastError {
  return new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'the container has ended')
}
