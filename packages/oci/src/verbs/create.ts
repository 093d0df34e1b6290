/** `create` and `run`: from a bundle to a container whose program waits at the door, or runs. */
import { closeSync, existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { closeFd, processStartTime } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { planContainer, type ContainerPlan, type OciConfig } from '@holdfast/plan'
import {
  birthCgroup,
  handOverListener,
  hostOwner,
  killCgroup,
  moveNetDevices,
  prepare,
  refuseFrozen,
  removeCgroups,
  roomToBeBorn,
  vacatedCgroup,
  withJoinedMaps,
  type Prepared,
} from '@holdfast/shim/library'
import type { Call } from '../front-end/call.ts'
import { directSteps } from '../direct-steps.ts'
import { withHome, withListenFds } from '../as-runc/environment.ts'
import { withoutIgnoredLimits } from '../as-runc/ignored-limits.ts'
import { withAddedDeviceRules } from '../as-runc/device-rules.ts'
import { killInit } from '../ending.ts'
import { plantingAt, uproot } from '../planted-root.ts'
import { runHooks } from '../front-end/hooks.ts'
import { launchBy, type Launch } from '../front-end/launch.ts'
import { readLeniently } from '../as-runc/leniency.ts'
import { numberOption, onlyId, parseOptions, usage, type Options } from '../front-end/options.ts'
import { planHost } from '../plan-host.ts'
import { callersCgroups, refuseBeyondUser, withRightsOf } from '../rootless.ts'
import * as store from '../store.ts'
import { sharingWarning } from '../shared-cgroup.ts'
import { scopeProperties } from '../systemd/properties.ts'
import { refuseWithoutSystemd, startScope, stopScope, type Tenant } from '../systemd/scope.ts'
import { scopeUnit, type ScopeUnit } from '../systemd/unit.ts'

/** What `create` and `run` take. */
export const makingOptions = {
  switches: ['no-pivot', 'no-new-keyring', 'detach', 'keep', 'no-subreaper'],
  values: ['bundle', 'console-socket', 'pid-file', 'preserve-fds', 'pidfd-socket'],
  aliases: { b: 'bundle', d: 'detach' },
}

export const create = (call: Call): Promise<void> => make(call, 'create')
export const run = (call: Call): Promise<void> => make(call, 'run')

interface Making {
  call: Call
  options: Options
  id: string
  bundle: string
  config: OciConfig
  plan: ContainerPlan
  /** Where its cgroup is a scope of systemd's. */
  unit: ScopeUnit | undefined
  directory: string
  record: store.ContainerRecord
}

async function make(call: Call, verb: 'create' | 'run'): Promise<void> {
  const { request } = call
  const options = parseOptions(request.args, makingOptions)
  const id = onlyId(verb, options)
  const bundle = resolve(request.cwd, options.value['bundle'] ?? '.')
  const text = readConfig(bundle)
  const read = withJoinedMaps(readLeniently(text, call.warn))
  const given = withoutIgnoredLimits(read, planHost(request).cgroup.version, call.warn)
  const unit = request.systemdCgroup ? scopeUnit(given.linux?.cgroupsPath, id) : undefined
  const config = adapted(unit ? within(unit, given) : given, call, bundle)
  refuseBeyondUser(config)
  const detach = verb === 'create' || options.on.has('detach')
  if (verb === 'run' && !config.process) throw usage('process property must not be empty')
  checkConsole(config, options, detach)
  store.refuseTaken(request.root, id)
  const directory = store.directoryOf(request.root, id)
  const plan = planFor(call, { id, bundle, config, directory, pivot: !options.on.has('no-pivot') })
  const record = newRecord({ call, id, bundle, plan, options, unit })
  store.add(request.root, { record, config, text })
  try {
    await launchPrepared({ call, options, id, bundle, config, plan, unit, directory, record }, verb)
  } catch (error) {
    if (record.planted) uproot(record.planted)
    store.forget(request.root, id)
    throw error
  }
}

function readConfig(bundle: string): string {
  try {
    return readFileSync(join(bundle, 'config.json'), 'utf8')
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    throw usage(`JSON specification file ${join(bundle, 'config.json')} not found`)
  }
}

/** Its cgroup where systemd will make it. */
function within({ path }: ScopeUnit, config: OciConfig): OciConfig {
  refuseWithoutSystemd()
  return { ...config, linux: { ...config.linux, cgroupsPath: path } }
}

/** What the caller's own surroundings add. */
function adapted(given: OciConfig, { request, warn }: Call, bundle: string): OciConfig {
  const config = withAddedDeviceRules(given)
  const { process, root } = config
  if (!process || !root) return config
  const env = withHome(process.env ?? [], resolve(bundle, root.path), process.user?.uid ?? 0)
  return {
    ...config,
    process: withRightsOf(request, { ...process, env: withListenFds(env, request.listenFds) }, warn),
  }
}

function checkConsole({ process }: OciConfig, options: Options, detach: boolean): void {
  const socket = options.value['console-socket'] ?? ''
  if (process?.terminal && detach && socket === '')
    throw usage('cannot allocate tty if holdfast-oci will detach without setting console socket')
  if (!process?.terminal && socket !== '')
    throw usage('cannot use console socket if holdfast-oci will not detach or allocate tty')
}

interface PlanFor {
  id: string
  bundle: string
  config: OciConfig
  directory: string
  pivot: boolean
}

function planFor(call: Call, { id, bundle, config, directory, pivot }: PlanFor): ContainerPlan {
  const cgroups = callersCgroups(config, id, call.request)
  const plan = planContainer(config, {
    id,
    bundle,
    stage: join(directory, 'stage'),
    init: false,
    cgroupParent: '/',
    pivot: pivot ? 'pivot' : 'chroot',
    plants: true,
    ...(cgroups && { cgroups }),
    host: planHost(call.request),
  })
  for (const warning of plan.warnings ?? []) call.warn(warning)
  return plan
}

function newRecord({
  call,
  id,
  bundle,
  plan,
  options,
  unit,
}: Pick<Making, 'call' | 'id' | 'bundle' | 'plan' | 'options' | 'unit'>): store.ContainerRecord {
  const cgroup = plan.preparations.find((each) => each.do === 'make-cgroup')
  const { version } = planHost(call.request).cgroup
  return {
    id,
    bundle,
    madeBy: call.request.call,
    created: new Date().toISOString(),
    pid: 0,
    startTime: '',
    cgroupVersion: version,
    ...(unit && { unit: unit.name }),
    cgroups: (cgroup?.directories ?? []).map((each) => ({
      ...each,
      version: version === 2 || each.controllers.length === 0 ? 2 : 1,
      ...(existsSync(each.path) && { existed: true }), // or who undoes this would kill those who are in there
    })),
    namespaces: plan.namespaces,
    ...(plan.plantedAt !== undefined && { planted: plantingAt(plan.plantedAt) }),
    startable: plan.startable,
    keyring: !options.on.has('no-new-keyring'),
  }
}

async function launchPrepared(making: Making, verb: 'create' | 'run'): Promise<void> {
  const { call, plan, unit, id, config, record } = making
  const members = await vacatedCgroup(plan.preparations)
  const shared = members.length > 0
  if (shared) call.warn(sharingWarning(members))
  if (shared) delete record.unit // the others' scope, and theirs to stop
  if (!unit || shared) return launchIn(making, verb, { shared })
  refuseFrozen(record.cgroups.filter(({ existed }) => existed)) // the tenant would be stuck in it
  const tenant = await startScope(unit, id, scopeProperties(plan, config))
  try {
    await launchIn(making, verb, { tenant })
  } catch (error) {
    await tenant.leave()
    await removeCgroups(record.cgroups)
    await stopScope(unit.name)
    throw error
  }
}

async function launchIn(
  making: Making,
  verb: 'create' | 'run',
  { tenant, shared }: { tenant?: Tenant; shared?: boolean },
): Promise<void> {
  const { plan, call } = making
  const prepared = prepare(plan.preparations, { tenant: tenant?.pid, shared: shared ?? false })
  try {
    const launch = launchOf(making, prepared, { verb, tenants: tenant ? 1 : 0 })
    await launchBy(call.connection, launch, {
      onListener: (listener, pid) => handOverListener(ociBundle(making), listener, pid),
      onReady: async (pid) => {
        moveNetDevices(plan.netDevices, pid)
        await tenant?.leave()
        becomeCreated(making, prepared, pid)
      },
      onStarted: (pid) => (verb === 'run' ? poststart(making, pid) : Promise.resolve()),
    })
  } catch (error) {
    // One that is not at its door yet ends with its launcher.
    if (shared || prepared.cgroups.length === 0) await killInit(making.record)
    else killCgroup(prepared.cgroups)
    await removeCgroups(prepared.cgroups)
    // runtime.md#lifecycle: a create that fails behind its hooks is destroyed, and that ends with poststop.
    if (call.connection.open) await poststop(making)
    throw error
  } finally {
    for (const fd of prepared.transient) closeFd(fd)
    for (const { dirFd } of prepared.cgroups) closeSync(dirFd)
  }
}

const ociBundle = ({ id, bundle, config }: Making) => ({ dir: bundle, spec: { id }, config })

function launchOf(
  making: Making,
  prepared: Prepared,
  { verb, tenants }: { verb: 'create' | 'run'; tenants: number },
): Launch {
  const { call, options, plan, config, id, bundle } = making
  const { on, value } = options
  const bornIn = roomToBeBorn(plan, tenants) ? birthCgroup(prepared.cgroups)?.as : undefined
  const listen = verb === 'create'
  const steps = directSteps(plan.steps, {
    bornIn,
    listen,
    keyring: !on.has('no-new-keyring'),
    preserve: call.request.listenFds + numberOption(options, 'preserve-fds', 0),
  })
  const hooks = { kind: 'createRuntime', hooks: plan.hooks.createRuntime, status: 'creating' } as const
  return {
    id,
    title: `holdfast-oci: ${id}`,
    steps,
    fds: prepared.fds,
    bornIn,
    terminal: plan.terminal,
    detach: listen || on.has('detach'),
    door: listen,
    keep: on.has('keep'),
    pidFile: value['pid-file'],
    consoleSocket: value['console-socket'],
    owner: plan.terminal ? undefined : ownerOf(config),
    hooks: { ...hooks, id, bundle, config, pid: 'later' },
  }
}

/** Of stdio, where the program's user is another than the one who has it anyway. */
export function ownerOf(config: OciConfig, user = config.process?.user): number | undefined {
  const { uid } = hostOwner({ config }, user)
  return uid === 0 ? undefined : uid
}

function becomeCreated({ directory, record, config }: Making, prepared: Prepared, pid: number): void {
  record.pid = pid
  record.startTime = String(processStartTime(pid) ?? '')
  record.cgroups = prepared.cgroups.map(({ dirFd: _dirFd, ...cgroup }) => cgroup)
  store.save(directory, record, config)
}

function poststop({ call, plan, id, bundle, config }: Making): Promise<void> {
  const hooks = plan.hooks.poststop
  return runHooks(call.connection, {
    kind: 'poststop',
    hooks,
    id,
    bundle,
    config,
    status: 'stopped',
    pid: 0,
  })
}

/** A failure ends the container (config.md#posix-platform-hooks). */
function poststart({ call, plan, id, bundle, config }: Making, pid: number): Promise<void> {
  const hooks = plan.hooks.poststart
  return runHooks(call.connection, { kind: 'poststart', hooks, id, bundle, config, status: 'running', pid })
}
