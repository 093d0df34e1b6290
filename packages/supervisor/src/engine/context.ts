import type { ImageStore } from '@holdfast/images'
import type { BridgeNetwork } from '@holdfast/network'
import type { Logger } from 'pino'
import type { ContainerStore } from '../records/container-store.ts'
import type { IdRanges } from '../records/id-ranges.ts'
import type { SpecHost } from '../spec/index.ts'
import type { ZygoteClient } from '../shims/zygote-client.ts'
import type { Containers } from './containers.ts'
import type { DiskReserve } from './disk-reserve.ts'
import type { EventBus } from './events/event-bus.ts'
import type { Paths } from './paths.ts'
import type { Turns } from './turns.ts'
import type { Volumes } from './mounts/volumes.ts'

/** What the verbs share. There is one for each engine, and nothing global beside it. */
export interface EngineContext {
  instance: string
  paths: Paths
  /** What the container policy must know of this machine. */
  host: SpecHost
  /** `/<instance>`: the cgroup under which containers are made. */
  cgroupParent: string
  logger: Logger
  store: ContainerStore
  reserve: DiskReserve
  containers: Containers
  images: ImageStore
  volumes: Volumes
  idRanges: IdRanges
  network: BridgeNetwork
  networkId: string
  zygote: ZygoteClient
  /** As many at a time as there are processors: more would only need more shims at once, each of them forked anew. */
  starts: Turns
  events: EventBus
  /** The engine is ending: what happens to shims from now on is for the next one. */
  closing: boolean
}
