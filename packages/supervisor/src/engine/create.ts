import { mkdirSync, rmSync } from 'node:fs'
import { hostname as hostHostname } from 'node:os'
import { join } from 'node:path'
import { nameDiskFull } from '@holdfast/errors'
import type { Image, Snapshot } from '@holdfast/images'
import { emptyBookkeeping } from '../records/container-store.ts'
import { chooseAtCreate, joinedById } from './namespaces/container-choices.ts'
import type { ContainerConfig, HostConfig, NetworkingConfig } from './container-config.ts'
import { containerEvent } from './events/container-event.ts'
import type { ContainerRecord } from './container-record.ts'
import { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { checkEgress } from './network/egress.ts'
import { emptyNetworks } from './network/endpoint.ts'
import { takeIdRange } from './namespaces/id-map.ts'
import { mergeImageDefaults } from './image-defaults.ts'
import { logSpec } from './logs/log-config.ts'
import { mountRequests } from './mounts/mount-requests.ts'
import { checkSources, prepareMounts } from './mounts/mounts.ts'
import { checkName, makeName, newId } from './names.ts'
import type { NamespaceChoices } from './namespaces/namespace-modes.ts'
import { checkSpec, commandOf } from './oci-config.ts'
import { containerDirectory } from './paths.ts'
import { portMappings } from './network/ports.ts'
import { nowText } from './time.ts'
import { validateRequest } from './validate.ts'
import type { MountRequest } from './mounts/binds.ts'

/** A request that was found good. Nothing has been made yet. */
interface Checked {
  config: ContainerConfig
  host: HostConfig
  networking: NetworkingConfig
  choices: NamespaceChoices
  imageId: string
  mounts: MountRequest[]
  /** From the container policy: what this host cannot grant. */
  warnings: string[]
}

export async function createContainer(
  context: EngineContext,
  wantedName: string | undefined,
  config: ContainerConfig,
  host: HostConfig,
  networking: NetworkingConfig,
): Promise<{ id: string; warnings: string[] }> {
  const name =
    wantedName === undefined ? makeName((each) => context.containers.isTaken(each)) : checkName(wantedName)
  const checked = check(context, config, host, networking)
  context.reserve.fill()
  context.containers.reserve(name)
  const undo: (() => unknown)[] = [() => context.containers.unreserve(name)]
  try {
    const container = await make(context, name, checked, undo)
    containerEvent(context, container, 'create')
    return { id: container.id, warnings: warningsOf(checked) }
  } catch (error) {
    const shown = nameDiskFull(error)
    await undoAll(undo, shown)
    throw shown
  }
}

function check(
  context: EngineContext,
  config: ContainerConfig,
  asked: HostConfig,
  networking: NetworkingConfig,
): Checked {
  const host = withSwap(context, joinedById(context, asked))
  const choices = chooseAtCreate(context, host)
  validateRequest(config, host, networking, choices)
  logSpec(host, '')
  const image = imageOf(context, config, host, choices)
  const merged = mergeImageDefaults(config, image.config.config)
  checkEgress(merged, choices)
  const { mounts, warnings } = checkMerged(context, merged, host, choices)
  return { config: merged, host, networking, choices, imageId: image.id, mounts, warnings }
}

/** As much swap as memory where nobody said how much, and none to limit where the kernel doesn't count it: as Docker shows. */
function withSwap({ host: { swapLimit } }: EngineContext, host: HostConfig): HostConfig {
  if (host.Memory <= 0 || (host.MemorySwap !== 0 && swapLimit)) return host
  return { ...host, MemorySwap: swapLimit ? host.Memory * 2 : -1 }
}

/**
 * Docker finds fault with the request before it finds that the image is missing, and its command pulls only then:
 * nobody shall wait for a pull to hear that the memory is too little.
 */
function imageOf(
  context: EngineContext,
  config: ContainerConfig,
  host: HostConfig,
  choices: NamespaceChoices,
): Image {
  try {
    return context.images.get(config.Image)
  } catch (error) {
    const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])]
    checkMerged(context, command.length > 0 ? config : { ...config, Cmd: ['sh'] }, host, choices)
    throw error
  }
}

/** `config`: with what the image says. */
function checkMerged(
  context: EngineContext,
  config: ContainerConfig,
  host: HostConfig,
  choices: NamespaceChoices,
): Pick<Checked, 'mounts' | 'warnings'> {
  portMappings(config, host, [])
  const mounts = mountRequests(config, host, (ref) => context.containers.get(ref).record)
  checkSources(mounts)
  return { mounts, warnings: checkSpec(context, config, host, choices, mounts).warnings }
}

async function make(
  context: EngineContext,
  name: string,
  checked: Checked,
  undo: (() => unknown)[],
): Promise<Container> {
  const { choices, imageId } = checked
  const id = newId()
  const directory = containerDirectory(context.paths, id)
  undo.push(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(directory, { mode: 0o700 })
  if (choices.namespaces.user.kind === 'own') undo.push(() => context.idRanges.release(id))
  const idRange = await takeIdRange(context, id, imageId, choices)
  const root = idRange?.start ?? 0
  undo.push(() => context.images.removeSnapshot(id))
  const snapshot = await context.images.createSnapshot(id, imageId, {
    root: { uid: root, gid: root },
    lowerExtra: [context.paths.initLayer],
  })
  const mounts = await prepareMounts(context, checked.mounts, snapshot.lower)
  undo.push(() => Promise.all(mounts.made.map((volume) => context.volumes.remove(volume))))
  const record = recordOf(context, { id, name, idRange, snapshot, mounts: mounts.points }, checked)
  const book = { ...emptyBookkeeping, anonymousVolumes: mounts.anonymous }
  const container = new Container({ record, book }, context.store)
  context.store.insert(container)
  context.containers.add(container)
  return container
}

/** What was made for a container, before it has a record. */
interface Made extends Pick<ContainerRecord, 'id' | 'name' | 'idRange' | 'mounts'> {
  snapshot: Snapshot
}

function recordOf(
  context: EngineContext,
  { id, name, idRange, snapshot, mounts }: Made,
  { config, host, networking, choices, imageId }: Checked,
): ContainerRecord {
  const directory = containerDirectory(context.paths, id)
  const [path = '', ...args] = commandOf(config)
  const shared =
    choices.network === 'shared' && choices.namespaces.net.kind === 'container'
      ? context.containers.get(choices.namespaces.net.id).record
      : undefined
  return {
    id,
    name,
    created: nowText(),
    config: { ...config, Hostname: defaultHostname(id, config, choices) },
    hostConfig: host,
    networking,
    imageId,
    path,
    args,
    state: {
      status: 'created',
      pid: 0,
      exitCode: 0,
      error: '',
      oomKilled: false,
      startedAt: '',
      finishedAt: '',
    },
    networks: emptyNetworks(context, choices, networking),
    mounts,
    logPath: host.LogConfig.Type === 'none' ? '' : join(directory, `${id}-json.log`),
    resolvConfPath: shared?.resolvConfPath ?? join(directory, 'resolv.conf'),
    hostnamePath: shared?.hostnamePath ?? join(directory, 'hostname'),
    hostsPath: shared?.hostsPath ?? join(directory, 'hosts'),
    idRange,
    restartCount: 0,
    execIds: [],
    rootfs: { lower: snapshot.lower, upper: snapshot.upper, work: snapshot.work },
  }
}

/** What `inspect` shows of a name that nobody chose. */
function defaultHostname(
  id: string,
  { Hostname }: ContainerConfig,
  { network, namespaces }: NamespaceChoices,
): string {
  if (Hostname !== '' || network === 'shared') return Hostname
  return network === 'host' || namespaces.uts.kind === 'host' ? hostHostname() : id.slice(0, 12)
}

/** In reverse, past errors: the first is attached to the error that is thrown anyway. */
async function undoAll(undo: (() => unknown)[], error: unknown): Promise<void> {
  for (const step of undo.reverse()) {
    try {
      await step()
    } catch (failure) {
      if (error instanceof Error) error.cause ??= failure
    }
  }
}

/** What follows from the request without having been said in it. */
function warningsOf({ host, choices, warnings }: Checked): string[] {
  const { user } = choices.namespaces
  const all = [...warnings]
  if (choices.network === 'host' && Object.keys(host.PortBindings).length > 0)
    all.push('Published ports are discarded when using host network mode')
  if (user.kind === 'host' && host.UsernsMode !== 'host' && !host.Privileged) {
    all.push(
      "Sharing the host's network, pid or ipc namespace implies its user namespace: root in this container is root on the host.",
    )
  }
  return all
}
