import { join } from 'node:path'
import { maxSocketPath } from '@holdfast/core'

/**
 * Where an instance keeps its things. Under the data root is what lives as long as the containers; under the exec
 * root (a tmpfs as a rule) what lives as long as the machine is up.
 */
export interface Paths {
  dataRoot: string
  execRoot: string
  database: string
  /** Blocks kept for what frees a full disk. */
  reserve: string
  images: string
  volumes: string
  networks: string
  /** The directory that lies between an image and its containers: what an engine puts in every root. */
  initLayer: string
  /** One directory per named namespace type, `<execRoot>/ns/net/NAME`. */
  namespaces: string
  containers: string
  shims: string
  /** Compiled system-call filters, which the shims share. */
  seccomp: string
  /** Where the launch workers listen for the shims. */
  launch: string
}

export function pathsOf(dataRoot: string, execRoot: string): Paths {
  return {
    dataRoot,
    execRoot,
    database: join(dataRoot, 'holdfast.db'),
    reserve: join(dataRoot, 'reserve'),
    images: join(dataRoot, 'images'),
    volumes: join(dataRoot, 'volumes'),
    networks: join(dataRoot, 'network'),
    initLayer: join(dataRoot, 'init-layer'),
    namespaces: join(execRoot, 'ns'),
    containers: join(dataRoot, 'containers'),
    shims: join(execRoot, 'c'),
    seccomp: join(execRoot, 'seccomp'),
    launch: join(execRoot, 'launch.sock'),
  }
}

export function containerDirectory(paths: Paths, id: string): string {
  return join(paths.containers, id)
}

export function shimDirectory(paths: Paths, id: string): string {
  return join(paths.shims, id)
}

/** How long an exec root may be so that `<exec-root>/c/<64 hex digits>/shim.sock` still fits. */
export const maxExecRoot = maxSocketPath - '/c/'.length - 64 - '/shim.sock'.length
