/** A network that is open: its verbs, each of which is a module of its own. */
import { HoldfastError } from '@holdfast/errors'
import { attach } from './attach.ts'
import type {
  Attachment,
  AttachRequest,
  BridgeNetwork,
  BridgeOptions,
  DetachOptions,
  PolicyScope,
  PortMapping,
  PublishedPort,
} from '../bridge.ts'
import type { LearnName } from '../policy/dns-name.ts'
import type { EgressPolicy, EgressRule } from '../policy/egress-rule.ts'
import type { NetworkContext } from './context.ts'
import { detach } from './detach.ts'
import { findLink } from '../netlink/find-link.ts'
import { removeRules } from '../host-bridge.ts'
import type { NetworkEvent } from './network-event.ts'
import { publishPorts, unpublishPorts } from './publish-attached.ts'
import { settleRemovals } from './removal.ts'
import { repair, type Repair } from './repair.ts'
import { restore } from './restore.ts'
import { deleteLink } from '../netlink/rtnetlink.ts'
import { watchHost, type HostWatch } from './watch-host.ts'

/** What one network tells, to whoever listens. */
export class Listeners {
  readonly #all = new Set<(event: NetworkEvent) => void>()

  add(listener: (event: NetworkEvent) => void): () => void {
    this.#all.add(listener)
    return () => this.#all.delete(listener)
  }

  readonly tell = (event: NetworkEvent): void => {
    for (const listener of this.#all) listener(event)
  }
}

export class OpenNetwork implements BridgeNetwork {
  readonly options: BridgeOptions
  readonly warnings: readonly string[]
  readonly #context: NetworkContext
  readonly #watch: HostWatch
  readonly #listeners: Listeners
  readonly learn: LearnName = (answer) => this.#context.egress.learn(answer)
  #closed = false

  constructor(context: NetworkContext, warnings: string[], listeners: Listeners) {
    this.options = context.options
    this.warnings = warnings
    this.#context = context
    this.#listeners = listeners
    this.#watch = watchHost(context, listeners.tell)
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
    return this.#listeners.add(listener)
  }

  repair(options: { fix?: boolean } = {}): Promise<Repair[]> {
    return repair(this.#context, { fix: options.fix ?? true })
  }

  allow(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    return this.#context.egress.allow(scope, rules)
  }

  deny(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    return this.#context.egress.deny(scope, rules)
  }

  revoke(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    return this.#context.egress.revoke(scope, rules)
  }

  setPolicy(scope: PolicyScope, policy: EgressPolicy | undefined): Promise<void> {
    return this.#context.egress.set(scope, policy)
  }

  restore(attachments: Attachment[]): Promise<string[]> {
    return restore(this.#context, attachments)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { route, removal, netfilter, held, ipam, egress } = this.#context
    await this.#watch.close()
    try {
      await settleRemovals(this.#context)
    } finally {
      for (const part of [egress, route, removal, netfilter, held, ipam]) part.close()
    }
  }

  async remove(): Promise<void> {
    const context = this.#context
    await settleRemovals(context)
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
