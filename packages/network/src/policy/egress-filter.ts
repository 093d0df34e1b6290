/**
 * The egress policies of a network and its containers: kept here as lists, in the kernel as elements of sets. A
 * change writes the difference, in one transaction.
 */
import { Mutex } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { LearnedAddresses } from '@holdfast/resolver'
import { addressBytes, formatAddress, parseAddress, type Address } from '../address.ts'
import type { PolicyScope } from '../bridge.ts'
import { attachmentKey, type Publication, type RulesContext } from '../open-network/context.ts'
import { changeElements, type ElementRequest } from '../netlink/nfnetlink.ts'
import type { Refusal } from '../open-network/network-event.ts'
import { deletePresent } from '../ports/publish.ts'
import { LearnedNames, matchesName, type NamePattern } from './dns-name.ts'
import { checkPolicy, describeRule, type EgressPolicy, type EgressRule } from './egress-rule.ts'
import { cutFlows } from './flows.ts'
import { elementsOfSubject, type Subject, type TimedElement } from './policy-elements.ts'
import { loggedSet } from './policy-ruleset.ts'
import { belongsTo, PolicyRulesInstaller, presentPolicy } from './policy-store.ts'
import { judge, refusalOf } from './verdict.ts'

export interface PolicySubject extends Subject {
  id?: string
  interface?: string
  given: EgressPolicy
  installed: Map<string, TimedElement>
}

const networkKey = 'network'
/** A policy that the kernel refuses is not tried for ever. */
const attempts = 3

export class EgressFilter {
  readonly #context: RulesContext
  readonly #rules: PolicyRulesInstaller
  readonly #subjects = new Map<string, PolicySubject>()
  readonly #names = new LearnedNames()
  readonly #mutex = new Mutex()

  /** `tell` is called for packets that were refused. */
  constructor(context: RulesContext, tell: (refusal: Refusal) => void) {
    this.#context = context
    this.#rules = new PolicyRulesInstaller(context, (packet) =>
      tell(refusalOf(packet, judge(this.#subjects, packet, this.#addressesOf), this.#ownerOf(packet.source))),
    )
  }

  /** Replaces a policy; undefined: there is none. `members`: of a container that is not attached yet. */
  async set(
    scope: PolicyScope,
    given: EgressPolicy | undefined,
    members?: { link: string; addresses: string[] },
  ): Promise<void> {
    const key = keyOf(scope)
    // An earlier attachment of the same name, whose detach has not come this far.
    const earlier = members && this.#subjects.get(key)?.members?.link
    if (earlier !== undefined && earlier !== members?.link) await this.removeLink(earlier)
    const known = this.#subjects.get(key)
    if (!given && !known) return
    const subject = known ?? (await this.#newSubject(scope, given ?? {}, members))
    const policy = checkPolicy(given ?? {}, 'egress')
    if (given) await this.#rules.install()
    await this.#mutex.run(async () => {
      const before = { given: subject.given, policy: subject.policy }
      Object.assign(subject, { given: given ?? {}, policy })
      if (given) this.#subjects.set(key, subject)
      else this.#subjects.delete(key)
      try {
        await this.#write(subject, given !== undefined)
      } catch (error) {
        // What is in the kernel is what was before.
        Object.assign(subject, before)
        if (known) this.#subjects.set(key, known)
        else this.#subjects.delete(key)
        throw error
      }
    })
    if (given) await this.#cut(subject)
    else await this.#forgetLogged(subject)
  }

  get(scope: PolicyScope): EgressPolicy | undefined {
    return this.#subjects.get(keyOf(scope))?.given
  }

  allow(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    return this.#change(scope, ({ allow = [], ...rest }) => ({ ...rest, allow: [...allow, ...rules] }))
  }

  deny(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    return this.#change(scope, ({ deny = [], ...rest }) => ({ ...rest, deny: [...deny, ...rules] }))
  }

  revoke(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy> {
    const gone = new Set(rules.map(describeRule))
    const left = (list: EgressRule[]) => list.filter((rule) => !gone.has(describeRule(rule)))
    return this.#change(scope, ({ allow, deny }) => ({
      ...(allow && { allow: left(allow) }),
      ...(deny && { deny: left(deny) }),
    }))
  }

  async learn(answer: LearnedAddresses): Promise<void> {
    const name = this.#names.learn(answer, performance.now())
    if (name === undefined) return
    await Promise.all(
      [...this.#subjects].map(async ([key, subject]) => {
        const { allow = [], deny } = subject.policy
        const concerns = ({ to }: (typeof deny)[number]) =>
          to.kind === 'name' && matchesName(to.pattern, name)
        const denied = deny.some(concerns)
        if (!denied && !allow.some(concerns)) return
        await this.#mutex.run(async () => {
          if (this.#subjects.get(key) === subject) await this.#write(subject, true)
        })
        if (denied) await this.#cut(subject)
      }),
    )
  }

  /** The container that this link was of has left; its addresses may be another's next. */
  async removeLink(link: string): Promise<void> {
    for (const { id, interface: name, members } of this.#subjects.values()) {
      if (members?.link !== link || id === undefined || name === undefined) continue
      await this.set({ id, interface: name }, undefined)
      return
    }
  }

  /** After a restart: these are the policies; what else is there for this network goes. Returns what went. */
  async restore(living: { scope: PolicyScope; egress: EgressPolicy }[]): Promise<string[]> {
    this.#subjects.clear()
    const present = await presentPolicy(this.#context, { orphans: true })
    if (!present && living.length === 0) return []
    await this.#rules.install()
    for (const { scope, egress } of living) {
      this.#subjects.set(keyOf(scope), await this.#newSubject(scope, egress, undefined))
    }
    return this.#mutex.run(async () => {
      const subjects = [...this.#subjects.values()]
      const left = new Map(present ?? [])
      for (const subject of subjects) {
        for (const [id, element] of present ?? []) {
          const whose = belongsTo(this.#context, subject, element)
          if (!whose) continue
          subject.installed.set(id, element)
          left.delete(id)
          if (typeof whose === 'object') subject.adopted.push(whose)
        }
        await this.#write(subject, true)
      }
      const remove = requests([...left.values()])
      if (remove.length > 0) await this.#context.netfilter.request(changeElements({ remove }))
      return [...left.keys()].map((id) => `policy element ${id}`)
    })
  }

  /** What is missing in the kernel; `fix` writes it again. */
  async missing(fix: boolean): Promise<string[]> {
    if (this.#subjects.size === 0) return []
    const broken = await this.#rules.missing()
    if (fix && broken.length > 0) await this.#rules.install('anew')
    return this.#mutex.run(async () => {
      const now = performance.now()
      const present = (await presentPolicy(this.#context)) ?? new Map<string, TimedElement>()
      const missing = [...broken]
      for (const subject of this.#subjects.values()) {
        const lost = [...subject.installed].filter(
          ([id, { expires }]) => expires > now + 1_000 && !present.has(id),
        )
        if (lost.length === 0) continue
        missing.push(...lost.map(([id]) => id))
        if (!fix) continue
        for (const [id] of lost) subject.installed.delete(id)
        await this.#write(subject, true)
      }
      return missing
    })
  }

  /** The rules stay; nobody hears of refusals any more. */
  close(): void {
    this.#rules.close()
  }

  readonly #addressesOf = (pattern: NamePattern) => this.#names.addressesOf(pattern, performance.now())

  #ownerOf(source: Address): Publication | undefined {
    const text = formatAddress(source)
    return [...this.#context.published.values()].find(({ addresses }) => addresses.includes(text))
  }

  async #change(scope: PolicyScope, how: (policy: EgressPolicy) => EgressPolicy): Promise<EgressPolicy> {
    const policy = how(this.get(scope) ?? {})
    await this.set(scope, policy)
    return policy
  }

  async #newSubject(
    scope: PolicyScope,
    given: EgressPolicy,
    members: { link: string; addresses: string[] } | undefined,
  ): Promise<PolicySubject> {
    const policy = checkPolicy(given, 'egress')
    const common = { given, policy, adopted: [], installed: new Map<string, TimedElement>() }
    if (scope === 'network') return common
    const known = members ?? this.#context.published.get(attachmentKey(scope))
    if (known?.link === undefined) {
      throw new HoldfastError(
        'HF_NETWORK_FAILED',
        `${scope.id} is not attached to network ${this.#context.options.name}`,
      )
    }
    const addresses = known.addresses.map((text) => parseAddress(text, 'addresses'))
    return { ...common, id: scope.id, interface: scope.interface, members: { link: known.link, addresses } }
  }

  /** In turn. `stays`: false where everything of the subject goes. */
  async #write(subject: PolicySubject, stays: boolean): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const now = performance.now()
      subject.adopted = subject.adopted.filter(({ box }) => box.expires > now)
      const wanted = stays
        ? elementsOfSubject(this.#context.options, subject, this.#addressesOf)
        : new Map<string, TimedElement>()
      const { remove, add } = difference(subject.installed, wanted, now)
      if (remove.length + add.length === 0) return
      try {
        await this.#context.netfilter.request(
          changeElements({ remove: requests(remove), add: requests(add, now) }),
        )
        subject.installed = wanted
        return
      } catch (error) {
        // One has just expired, or somebody flushed our rules: look what is there, and try again.
        if (attempt === attempts || !hasCode(error, 'ENOENT', 'EEXIST', 'ENOTEMPTY')) throw error
        await this.#rules.install('anew')
        const present = (await presentPolicy(this.#context)) ?? new Map<string, TimedElement>()
        subject.installed = new Map(
          [...present].filter(([, each]) => belongsTo(this.#context, subject, each)),
        )
      }
    }
  }

  /** That packets of its were told of lately would go by itself; but who has its addresses next is another. */
  async #forgetLogged({ members }: PolicySubject): Promise<void> {
    const { table, bridge } = this.#context.options
    const elements = (members?.addresses ?? []).map((address) => ({
      table,
      set: loggedSet(bridge, address.family),
      elements: [{ key: [addressBytes(address)] }],
    }))
    await deletePresent(this.#context, elements)
  }

  /** Connections that the policy refuses now end; new ones it sees by itself. */
  #cut(subject: PolicySubject): Promise<void> {
    const sources: Address[] = subject.members
      ? subject.members.addresses
      : [...this.#context.published.values()].flatMap(({ addresses }) =>
          addresses.map((text) => parseAddress(text, 'addresses')),
        )
    return cutFlows(this.#context, sources, (packet) =>
      Boolean(judge(this.#subjects, packet, this.#addressesOf).rule),
    )
  }
}

function keyOf(scope: PolicyScope): string {
  return scope === 'network' ? networkKey : attachmentKey(scope)
}

/** An element that lasts longer than before is written anew. */
function difference(
  installed: Map<string, TimedElement>,
  wanted: Map<string, TimedElement>,
  now: number,
): { remove: TimedElement[]; add: TimedElement[] } {
  const there = (id: string) => {
    const element = installed.get(id)
    return element && element.expires > now ? element : undefined
  }
  const remove: TimedElement[] = []
  const add: TimedElement[] = []
  for (const [id] of installed) {
    const [old, next] = [there(id), wanted.get(id)]
    if (old && old.expires !== next?.expires) remove.push(old)
  }
  for (const [id, next] of wanted) {
    if (there(id)?.expires !== next.expires) add.push(next)
  }
  return { remove, add }
}

function requests(elements: TimedElement[], now = 0): ElementRequest[] {
  return elements.map(({ set, element, expires }) => ({
    ...set,
    elements: [
      { ...element, ...(expires !== Infinity && { timeout: Math.ceil((expires - now) / 1_000) * 1_000 }) },
    ],
  }))
}
