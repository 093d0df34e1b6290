/**
 * Start: from a record to a running program. What can overlap does: the shim is forked and begins to make the
 * container while we still connect; the network is connected as soon as its namespace exists, and waiting clients
 * while nothing runs yet.
 *
 *   config.json, shim.json ─ fork ─ connect ─┬─ born ─ network, /etc/hosts ──┬─ start ─ record
 *                                            └─ created ─ waiting clients ───┘
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode, HoldfastError, nameDiskFull } from '@holdfast/errors'
import type { ExitRecord, ShimSpec, ShimState } from '@holdfast/protocol'
import { protocolVersion } from '@holdfast/protocol'
import { connectShim, type ShimClient } from '../shims/shim-client.ts'
import { cancelPending, connectPending, handOverPending } from './attach/attach.ts'
import { noteCgroupParent } from './cgroup-parent.ts'
import { choicesOf } from './namespaces/container-choices.ts'
import { containerEvent } from './events/container-event.ts'
import { announceUse } from './events/use-events.ts'
import type { Container, LiveShim } from './container.ts'
import type { EngineContext } from './context.ts'
import { serveNames } from './network/egress.ts'
import { connectNetwork, disconnectNetwork } from './network/endpoint.ts'
import { writeEtcFiles, writeHosts } from './etc/etc-directory.ts'
import { exitCodeOf } from './exit-code.ts'
import { nameNoPlace } from './no-place.ts'
import { settle } from './settle.ts'
import { containerExited } from './exit.ts'
import { adopt, followShim } from './shim/follow-shim.ts'
import { joinNamespaces, partnerNotRunning, type JoinedNamespaces } from './namespaces/join-namespaces.ts'
import { logSpec } from './logs/log-config.ts'
import type { NamespaceChoices } from './namespaces/namespace-modes.ts'
import { buildOciConfig } from './oci-config.ts'
import { shimDirectory } from './paths.ts'
import { serveRelays } from './network/relays.ts'
import { autoRemove } from './remove.ts'
import { mountShm } from './mounts/shared-memory.ts'
import { discardShim } from './shim/shim-directory.ts'
import { isLost } from './shim/shim-of.ts'
import { nowText } from './time.ts'
import { checkVolumeParts } from './mounts/volume-part.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

/** How long a forked shim may take to listen, and then to make the container. */
const connectDeadlineMs = 10_000
const createDeadlineMs = 60_000

/** How many shims of one start may be killed. */
const mostTries = 4

/** false when it was running already. */
export function startContainer(context: EngineContext, container: Container): Promise<boolean> {
  return container.lock.run(async () => {
    await container.cleanup
    const { status } = container.record.state
    if (status === 'running') return false
    if (status === 'paused') {
      throw new HoldfastError('HF_CONTAINER_STATE', 'cannot start a paused container, try unpause instead')
    }
    if (container.removing || status === 'dead' || status === 'removing') {
      throw new HoldfastError('HF_CONTAINER_STATE', 'container is marked for removal and cannot be started')
    }
    await context.starts.run(() => startLocked(context, container))
    return true
  })
}

async function startLocked(context: EngineContext, container: Container): Promise<void> {
  const choices = choicesOf(context, container)
  try {
    const shim = await makeAgainIfLost(context, container, () => make(context, container, choices))
    await run(context, container, shim)
  } catch (error) {
    const shown = nameLostPartner(context, choices, nameNoPlace(nameDiskFull(error)))
    await undoStart(context, container, shown)
    throw shown
  }
}

/** Everything but the program. */
async function make(
  context: EngineContext,
  container: Container,
  choices: NamespaceChoices,
): Promise<LiveShim> {
  const joined = await joinNamespaces(context, choices)
  let shim: LiveShim
  try {
    checkVolumeParts(container.record.mounts)
    writeEtcFiles(context, container, choices)
    const client = await forkShim(context, container, choices, joined.paths)
    const bridge = choices.network === 'bridge'
    const [made, joinedNet] = await settle([
      create(container, client),
      bridge ? joinBridge(context, container, client) : stayApart(context, container),
    ])
    shim = made
    if (bridge && joinedNet !== made.namespaces.net?.ino) await joinAnew(context, container, shim)
  } finally {
    joined.release()
  }
  const { attachment } = container.book
  if (attachment) {
    await serveRelays(shim, attachment)
    await serveNames(container, shim)
    writeHosts(context, container, choices)
  }
  return shim
}

/** A shim that is killed before its program runs takes nothing along that could not be made anew. */
async function makeAgainIfLost(
  context: EngineContext,
  container: Container,
  action: () => Promise<LiveShim>,
): Promise<LiveShim> {
  for (let tries = 1; ; tries++) {
    try {
      return await action()
    } catch (error) {
      if (tries === mostTries || context.closing || !hasCode(error, 'HF_SHIM_LOST')) throw error
      context.logger.warn(
        { err: error, container: container.id },
        'a shim is gone: making its container anew',
      )
      await unmake(context, container)
    }
  }
}

/** The containers whose namespaces were to be joined may have ended meanwhile: that fails in many ways. */
function nameLostPartner(context: EngineContext, { namespaces }: NamespaceChoices, error: unknown): unknown {
  if (hasCode(error, 'HF_CONTAINER_NOT_FOUND', 'HF_CONTAINER_NOT_RUNNING')) return error // it says so already
  for (const [type, choice] of Object.entries(namespaces)) {
    if (choice.kind !== 'container') continue
    const partner = context.containers.byId(choice.id)
    if (partner && isRunning(partner.record)) continue
    return partnerNotRunning(type, choice.id, { cause: error })
  }
  return error
}

async function forkShim(
  context: EngineContext,
  container: Container,
  choices: NamespaceChoices,
  joined: JoinedNamespaces['paths'],
): Promise<ShimClient> {
  const { record } = container
  const dir = shimDirectory(context.paths, container.id)
  const token = randomBytes(32).toString('hex')
  if (existsSync(dir)) await discardShim(context, container) // what a clean-up could not take down
  await within(createDeadlineMs, 'unmounting the root of the run before', container.unmounted)
  mkdirSync(dir, { mode: 0o700 })
  mountShm(context, container)
  noteCgroupParent(context, container)
  const { config, init, idmap } = buildOciConfig(context, container, choices, joined)
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config))
  const spec: ShimSpec = {
    version: protocolVersion,
    id: container.id,
    name: record.name,
    rootfs: { kind: 'overlay', ...context.images.getSnapshot(container.id), idmap },
    log: logSpec(record.hostConfig, record.logPath),
    stdin: { open: record.config.OpenStdin, once: record.config.StdinOnce },
    init,
    cgroupParent: context.cgroupParent,
    token,
  }
  writeFileSync(join(dir, 'shim.json'), JSON.stringify(spec))
  const { pid } = await context.zygote.fork({ dir, create: true })
  return connectShim({ dir, token, deadlineMs: connectDeadlineMs, pid })
}

async function create(container: Container, client: ShimClient): Promise<LiveShim> {
  let state: ShimState
  try {
    state = await within(createDeadlineMs, 'making the container', client.request('create', {}))
  } catch (error) {
    client.close()
    throw error
  }
  const { shimPid, keeperPid, pid, namespaces } = state
  const shim = { client, pid: shimPid, keeperPid, initPid: pid, namespaces }
  container.shim = shim
  await connectPending(container, shim)
  return shim
}

/** Returns the inode of the network namespace. */
async function joinBridge(context: EngineContext, container: Container, client: ShimClient): Promise<number> {
  const net = await within(createDeadlineMs, 'the network namespace', client.netns)
  await attachTo(context, container, { pid: client.pid, namespaces: { net } })
  return net.ino
}

/** No interface, and so no inode of a namespace that one was put into. */
async function stayApart(context: EngineContext, container: Container): Promise<undefined> {
  announceUse(context, container)
}

/** The launch began anew, since its worker was killed: the namespace that was connected is not the container's. */
async function joinAnew(context: EngineContext, container: Container, shim: LiveShim): Promise<void> {
  await disconnectNetwork(context, container)
  await attachTo(context, container, shim)
}

async function attachTo(
  context: EngineContext,
  container: Container,
  shim: Pick<LiveShim, 'pid' | 'namespaces'>,
): Promise<void> {
  const { attachment, networks } = await connectNetwork(context, container, shim)
  // Until the record says that it runs, recovery takes the attachment down by what the network itself remembers.
  container.note({ networks }, { attachment })
  announceUse(context, container)
}

async function run(context: EngineContext, container: Container, made: LiveShim): Promise<void> {
  const running = Promise.withResolvers<void>()
  container.ended = Promise.withResolvers<void>()
  followShim(context, container, made, running.promise)
  const { pid, startedAt, exit } = await openDoor(context, container, made, running.promise)
  container.update({
    status: 'running',
    pid,
    exitCode: 0,
    error: '',
    oomKilled: false,
    startedAt,
    finishedAt: '',
  })
  handOverPending(context, container)
  containerEvent(context, container, 'start')
  running.resolve()
  if (exit) containerExited(context, container, exit)
}

interface Started {
  pid: number
  startedAt: string
  /** Where it has ended since, and the shim that saw it was killed. */
  exit?: ExitRecord
}

/** Where the shim is killed over it, the next one knows whether it was done. */
async function openDoor(
  context: EngineContext,
  container: Container,
  made: LiveShim,
  running: Promise<void>,
): Promise<Started> {
  let shim = made
  for (let tries = 1; ; tries++) {
    try {
      const asked = shim.client.request('start', {})
      const { startedAt } = await within(createDeadlineMs, 'starting the program', asked)
      return { pid: shim.initPid, startedAt }
    } catch (error) {
      if (tries === mostTries || context.closing || !(await isLost(shim, error))) throw error
      const exit = await adopt(context, container, running)
      shim = container.shim!
      const { status, startedAt } = shim.client.hello
      if (exit || status !== 'created')
        return { pid: shim.initPid, startedAt: startedAt ?? nowText(), ...(exit && { exit }) }
      await connectPending(container, shim)
    }
  }
}

/** Everything that a start made, in reverse; then the record says why it failed, as Docker's does. */
async function undoStart(context: EngineContext, container: Container, error: unknown): Promise<void> {
  container.ended.resolve()
  cancelPending(container)
  await unmake(context, container)
  const message = error instanceof Error ? error.message : String(error)
  container.update({ pid: 0, exitCode: exitCodeOf(error), error: message })
  if (container.record.hostConfig.AutoRemove) autoRemove(context, container)
}

/** Never throws: what could not be taken down is tried again on remove and on restart. */
async function unmake(context: EngineContext, container: Container): Promise<void> {
  const { logger } = context
  await disconnectNetwork(context, container).catch((failure: unknown) =>
    logger.error({ err: failure, container: container.id }, 'undoing a failed start: network'),
  )
  await discardShim(context, container).catch((failure: unknown) =>
    logger.error({ err: failure, container: container.id }, 'undoing a failed start: shim'),
  )
}
