/** The specification's verbs, each a thin skin over the library's. What they return is printed. */
import { HoldfastError } from '@holdfast/errors'
import { Fields, invalid } from '../attachment/fields.ts'
import { inspect } from '../attachment/inspect.ts'
import type { NetworkConfig, Result } from '../attachment/network-config.ts'
import { openNetns } from '../attachment/netns-path.ts'
import { setup } from '../attachment/setup.ts'
import { sweep } from '../attachment/sweep.ts'
import { teardown } from '../attachment/teardown.ts'
import { validate } from '../attachment/validate.ts'
import { validateRuntime } from '../attachment/validate-runtime.ts'
import { Steps } from '../steps.ts'
import type { Caller } from './caller.ts'
import { delegate, findPlugin, type Delegation } from './delegate.ts'
import type { Command, Environment } from './environment.ts'
import { CniError, cniCodes } from './error.ts'
import { decodeResult, encodeResult } from './result-json.ts'
import { requireVersion, type Version } from './version.ts'

export interface Invocation {
  environment: Environment
  version: Version
  /** As it came, and decoded. */
  text: Buffer
  config: object
  caller: Caller
  /** A descriptor of the caller's network namespace; absent: it is this process's. */
  hostNetns: number | undefined
}

export type Verb = (invocation: Invocation) => Promise<object | undefined>

export const verbs: Record<Exclude<Command, 'VERSION'>, Verb> = {
  ADD: add,
  DEL: del,
  CHECK: check,
  GC: gc,
  STATUS: status,
}

async function add(invocation: Invocation): Promise<object> {
  const { environment, version, config, caller } = invocation
  const network = networkOf(invocation)
  const runtime = validateRuntime(config, environment.args)
  const previous = previousResult(invocation)
  openNetns(environment.netns)[Symbol.dispose]() // before another plugin is asked for addresses
  const delegation = delegationOf(network, invocation)
  const request = {
    ...attachmentOf(network, environment),
    netns: environment.netns,
    runtime,
    warn: caller.warn,
  }
  const chained =
    previous?.interfaces.some(({ name, sandbox }) => name === environment.interface && sandbox) ?? false
  if (!delegation || chained) {
    return encodeResult(await setup({ ...request, ...(previous && { previous }) }), version)
  }
  findPlugin(delegation.type, environment.path) // or it would be asked to undo, too
  try {
    const ipam = decodeResult(await delegate('ADD', delegation), 'ipam result')
    return encodeResult(await setup({ ...request, ipam, ...(previous && { previous }) }), version)
  } catch (error) {
    await delegate('DEL', delegation).catch((later: unknown) =>
      caller.warn(`and its addresses stay taken: ${String(later)}`),
    )
    throw error
  }
}

async function del(invocation: Invocation): Promise<undefined> {
  const { environment } = invocation
  const network = networkOf(invocation)
  const { netns } = environment
  const previous = lenientPrevious(invocation)
  const steps = new Steps()
  await steps.attempt(() =>
    teardown({ ...attachmentOf(network, environment), netns, ...(previous && { previous }) }),
  )
  const delegation = delegationOf(network, invocation)
  if (delegation) await steps.attempt(() => delegate('DEL', delegation))
  steps.end('DEL failed')
}

async function check(invocation: Invocation): Promise<undefined> {
  const { environment, version, config, caller } = invocation
  requireVersion(version, '0.4.0', 'CHECK')
  const network = networkOf(invocation)
  const runtime = validateRuntime(config, environment.args)
  const previous = previousResult(invocation)
  if (!previous) throw new CniError(cniCodes.invalidConfig, 'prevResult is missing, and CHECK needs it')
  const request = { ...attachmentOf(network, environment), netns: environment.netns, runtime, previous }
  const { problems, repaired, result } = await inspect({ ...request, repair: true })
  for (const what of repaired) caller.warn(`repaired: ${what}`)
  const amiss = [...problems, ...missingIn(previous, result, environment.interface)]
  if (amiss.length > 0) {
    throw new CniError(
      cniCodes.changed,
      amiss.join('; '),
      'Detach the container and attach it again (DEL, ADD).',
    )
  }
  const delegation = delegationOf(network, invocation)
  if (delegation) await delegate('CHECK', delegation)
}

/** What the runtime kept must have what we made; other plugins may have added to it. */
function missingIn(previous: Result, result: Result | undefined, name: string): string[] {
  const index = result?.interfaces.findIndex((each) => each.name === name && each.sandbox) ?? -1
  const own = result?.ips.filter((each) => each.interface === index) ?? []
  return own
    .filter(({ address }) => !previous.ips.some((each) => each.address === address))
    .map(({ address }) => `prevResult has no ${address}`)
}

async function gc(invocation: Invocation): Promise<undefined> {
  const { version, config, caller } = invocation
  requireVersion(version, '1.1.0', 'GC')
  const network = networkOf(invocation)
  const fields = new Fields(config, '')
  const key = 'cni.dev/valid-attachments'
  if (!fields.has(key)) {
    throw new CniError(cniCodes.invalidConfig, `${key} is missing`, 'Without it everything would be removed.')
  }
  const valid = fields.list(key, (value, path) => {
    const each = new Fields(value, path)
    return { containerId: needed(each, 'containerID'), interface: needed(each, 'ifname') }
  })
  const steps = new Steps()
  await steps.attempt(async () => {
    for (const what of await sweep({ network, valid })) caller.warn(what)
  })
  const delegation = delegationOf(network, invocation)
  if (delegation) await steps.attempt(() => delegate('GC', delegation))
  steps.end('GC failed')
}

/** What is named by halves would be taken for unknown, and removed. */
function needed(fields: Fields, key: string): string {
  const text = fields.text(key)
  if (text === undefined) throw invalid(fields.at(key), 'is missing')
  return text
}

async function status(invocation: Invocation): Promise<undefined> {
  const { version } = invocation
  requireVersion(version, '1.1.0', 'STATUS')
  const network = networkOf(invocation)
  const { obstaclesTo } = await import('../attachment/obstacles.ts')
  const { missing, limits } = await obstaclesTo(network)
  if (missing.length > 0) {
    throw new CniError(cniCodes.unavailable, missing[0]!.what, missing.map(({ fix }) => fix).join(' '))
  }
  const delegation = delegationOf(network, invocation)
  if (delegation) {
    findPlugin(delegation.type, invocation.environment.path)
    await delegate('STATUS', delegation)
  }
  if (limits.length > 0) {
    const what = limits.map((each) => each.what).join('; ')
    throw new CniError(cniCodes.limited, what, limits.map(({ fix }) => fix).join(' && '))
  }
}

function networkOf({ config, hostNetns }: Invocation): NetworkConfig {
  return { ...validate(config), ...(hostNetns !== undefined && { hostNetns }) }
}

function attachmentOf(network: NetworkConfig, { containerId, interface: name }: Environment) {
  return { network, containerId, interface: name }
}

function delegationOf(
  network: NetworkConfig,
  { environment, text, config, caller }: Invocation,
): Delegation | undefined {
  if (network.ipam.from !== 'caller') return undefined
  const type = new Fields(config, '').object('ipam')?.text('type')
  if (type === undefined) throw new HoldfastError('HF_INTERNAL', 'an IPAM plugin without a name')
  return { type, config: text, environment, caller }
}

function previousResult({ config }: Invocation): Result | undefined {
  const fields = new Fields(config, '')
  return fields.has('prevResult') ? decodeResult(fields.raw('prevResult'), 'prevResult') : undefined
}

/** Taking down must not fail for what a result looks like. */
function lenientPrevious(invocation: Invocation): Result | undefined {
  try {
    return previousResult(invocation)
  } catch (error) {
    invocation.caller.warn(String(error))
    return undefined
  }
}
