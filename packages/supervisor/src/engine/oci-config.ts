import type { ContainerConfig, HostConfig } from './container-config.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { MountRequest } from './binds.ts'
import type { NamespaceChoices } from './namespace-modes.ts'
export function checkSpec(_c: EngineContext, _m: ContainerConfig, _h: HostConfig, _n: NamespaceChoices, _r: MountRequest[]): void {}
export function buildOciConfig(_c: EngineContext, _m: Container, _n: NamespaceChoices, _j: Record<string, string>): unknown { return {} }
