/** The engine as a library: what `hold supervisor` runs, for programs that embed it. */
export { serveApi, type ApiServer, type ServeOptions } from './api/serve.ts'
export type { ContainerConfig, HostConfig, NetworkingConfig } from './engine/container-config.ts'
export type { ContainerRecord, ExecRecord } from './engine/container-record.ts'
export type * from './engine/engine.ts'
export type { EngineEvent, EventFilter } from './engine/events/events.ts'
export { openEngine, type EngineOptions } from './engine/open-engine.ts'
