/** A network that is open: its verbs, each of which is a module of its own. */
import { HoldfastError } from '@holdfast/errors'
import { attach } from './attach.ts'
import type {
  Attachment,
  AttachRequest,
  BridgeNetwork,
  BridgeOptions,
  DetachOptions,
  PortMapping,
  PublishedPort,
} from './bridge.ts'
import type { NetworkContext } from './context.ts'
import { detach } from './detach.ts'
import { findLink, removeRules } from './host-bridge.ts'
import type { NetworkEvent } from './network-event.ts'
import { publishPorts, unpublishPorts } from './publish-attached.ts'
import { settleRemovals } from './removal.ts'
import { repair, type Repair } from './repair.ts'
import { restore } from './restore.ts'
import { deleteLink } from './rtnetlink.ts'
import { watchHost, type HostWatch } from './watch-host.ts'

export class OpenNetwork implements BridgeNetwork {
  readonly options: BridgeOptions
  readonly warnings: readonly string[]
  readonly #context: NetworkContext
  readonly #watch: HostWatch
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  #closed = false

  constructor(context: NetworkContext, warnings: string[]) {
    this.options = context.options
    this.warnings = warnings
    this.#context = context
    this.#watch = watchHost(context, (event) => {
      for (const listener of this.#listeners) listener(event)
    })
  }

  attach(request: AttachRequest): Promise<Attachment> {
    return attach(this.#context, request)
  }

  detach(attachment: Attachment, options: DetachOptions = {}): Promise<void> {
    return detach(this.#context, attachment, options)
  }

  publish(attachment: Attachment, mappings: PortMapping[]): Promise<PublishedPort[]> {
    return publishPorts(this.#context, attachment, mappings)
  }

  unpublish(attachment: Attachment, ports: PublishedPort[]): Promise<void> {
    return unpublishPorts(this.#context, attachment, ports)
  }

  watch(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  repair(options: { fix?: boolean } = {}): Promise<Repair[]> {
    return repair(this.#context, { fix: options.fix ?? true })
  }

  restore(attachments: Attachment[]): Promise<string[]> {
    return restore(this.#context, attachments)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { route, removal, netfilter, held, ipam } = this.#context
    await this.#watch.close()
    await settleRemovals(this.#context, 'leave')
    for (const part of [route, removal, netfilter, held, ipam]) part.close()
  }

  async remove(): Promise<void> {
    const context = this.#context
    await settleRemovals(context, 'now')
    const lease = context.ipam.leases().find(({ state }) => state === 'held')
    if (lease) {
      throw new HoldfastError('HF_NETWORK_FAILED', `network ${this.options.name} has attached containers`, {
        hint: `Remove ${String(lease.id)} first.`,
        details: { container: lease.id },
      })
    }
    await this.#watch.close() // or it would put back what goes
    await removeRules(context.options, context.plan)
    const link = await findLink(context.route, context.options.bridge)
    if (link?.index === context.bridge.index)
      await context.removal.request([deleteLink(context.options.bridge)])
    context.ipam.erase()
    await this.close()
  }
}
