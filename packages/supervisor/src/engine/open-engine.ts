/** Puts the engine together, and in order after whatever happened to the one before it. */
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { openImageStore, type ImageStore } from '@holdfast/images'
import type { Logger } from 'pino'
import { ContainerStore, type StoredContainer } from '../records/container-store.ts'
import { openDatabase } from '../records/database.ts'
import { IdRanges } from '../records/id-ranges.ts'
import { readSpecHost } from '../spec/index.ts'
import { ZygoteClient } from '../shims/zygote-client.ts'
import { Container } from './container.ts'
import { Containers } from './containers.ts'
import type { EngineContext } from './context.ts'
import { ContainerEngine } from './container-engine.ts'
import { DiskReserve } from './disk-reserve.ts'
import { EventBus } from './events/event-bus.ts'
import { openNetwork } from './network/open-network.ts'
import { imageEvent } from './events/image-event.ts'
import { makeInitLayer } from './mounts/init-layer.ts'
import { pathsOf, type Paths } from './paths.ts'
import { recover } from './recovery.ts'
import { settle } from './settle.ts'
import { nowText } from './time.ts'
import { Turns } from './turns.ts'
import { isRunning } from './waits.ts'
import { Volumes } from './mounts/volumes.ts'

/** What an engine is opened with; `hold supervisor --help` has the defaults. */
export interface EngineOptions {
  /** At most 8 characters: every name on the machine derives from it. */
  instance: string
  dataRoot: string
  execRoot: string
  version: string
  logger: Logger
  /** `10.213.0.1/24`: the bridge's address; else a subnet is chosen from the pool once and kept. */
  bip?: string | undefined
  fixedCidrV6?: string | undefined
  /** Where the bridge's subnet is taken from, and how large it is. */
  addressPool: { base: string; size: number }
  /** Every shim a process of its own instead of a fork of the zygote. */
  plainShims: boolean
  /** Opened to be taken down: nothing is prepared for containers to come. */
  purging?: boolean
  /** First id for user namespaces. */
  usernsBase: number
  /** The machine-wide file of id ranges. */
  idRangesFile: string
}

/** Ready to serve: living containers are connected, leftovers are gone. */
export async function openEngine(options: EngineOptions): Promise<ContainerEngine> {
  const { instance, logger } = options
  const paths = pathsOf(options.dataRoot, options.execRoot)
  makeDirectories(paths)
  const { database, setAside } = openDatabase(paths.database)
  if (setAside)
    logger.error(
      { setAside },
      'the records are damaged and were put aside: containers are read from their own copies',
    )
  const reserve = new DiskReserve(paths.reserve)
  const onWarning = (err: unknown): void => logger.warn({ err }, "a container's record was not written")
  const store = new ContainerStore(database, paths.containers, { reserve, onWarning })
  const events = new EventBus()
  const undo: (() => unknown)[] = [() => (store.close(), database.close())]
  try {
    const stored = store.load()
    const zygote = openZygote(options, paths, stored)
    undo.push(() => zygote.close())
    const idRanges = new IdRanges({
      file: options.idRangesFile,
      base: options.usernsBase,
      owner: paths.database,
    })
    undo.push(() => idRanges.close())
    const [images, network] = await settle([
      closing(undo, openImages(paths, events, logger)),
      closing(undo, openNetwork(options, paths, store)),
    ])
    const context: EngineContext = {
      instance,
      paths,
      logger,
      store,
      reserve,
      images,
      network,
      zygote,
      events,
      idRanges,
      host: readSpecHost(),
      cgroupParent: `/${instance}`,
      networkId: createHash('sha256').update(`${instance} ${paths.dataRoot} bridge`).digest('hex'),
      containers: containersOf(stored, store),
      starts: new Turns(Math.max(2, availableParallelism())),
      volumes: new Volumes(database, paths.volumes, events),
      closing: false,
    }
    if (store.fact('created') === undefined) store.setFact('created', nowText())
    await recover(context).then(() => options.purging || zygote.warmUp())
    return new ContainerEngine(context, options.version, () => (store.close(), database.close()))
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** What is opened is closed among the steps of `undo`. */
async function closing<T extends { close(): unknown }>(
  undo: (() => unknown)[],
  opening: Promise<T>,
): Promise<T> {
  const opened = await opening
  undo.push(() => opened.close())
  return opened
}

function containersOf(stored: StoredContainer[], store: ContainerStore): Containers {
  const containers = new Containers()
  for (const each of stored) containers.add(new Container(each, store))
  return containers
}

/** State is root's alone from the first moment: an image's setuid programs lie in it. */
function makeDirectories(paths: Paths): void {
  for (const path of [
    paths.dataRoot,
    paths.execRoot,
    paths.containers,
    paths.volumes,
    paths.networks,
    paths.shims,
    paths.seccomp,
    paths.namespaces,
  ]) {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    chmodSync(path, 0o700)
  }
  chmodSync(paths.execRoot, 0o711) // the API's socket lies in it, and has an owner and a group of its own
  makeInitLayer(paths.initLayer)
}

function openImages(paths: Paths, events: EventBus, logger: Logger): Promise<ImageStore> {
  return openImageStore({
    root: paths.images,
    onEvent: (event) => imageEvent(events, event),
    onWarning: (error) => logger.warn({ err: error }, 'from the image store'),
  })
}

/**
 * It takes its time to warm up; nothing waits for it but the first shim. Lazily where there are
 * containers to find again: they hardly ever need it, and whoever asks for them should have the processor first.
 */
function openZygote(
  { instance, logger, plainShims, purging }: EngineOptions,
  paths: Paths,
  stored: StoredContainer[],
): ZygoteClient {
  const lazy = purging === true || stored.some(({ record }) => isRunning(record))
  return ZygoteClient.open({
    mode: plainShims ? 'plain' : 'fork',
    lazy,
    cgroupParent: `/${instance}`,
    seccompCache: paths.seccomp,
    launchSocket: paths.launch,
    onLog: (line) => logger.warn({ line }, 'from a shim'),
  })
}
