/** What lies in a shim's directory when it starts, read and planned. */
import { mkdirSync, readFileSync } from 'node:fs'
import { probeHost } from '@holdfast/core'
import { parseConfigJson, planContainer, type ContainerPlan, type OciConfig } from '@holdfast/plan'
import { parseShimSpec, type ShimSpec } from '@holdfast/protocol'
import type { OciState } from './launch/hooks.ts'
import { withJoinedMaps } from './launch/joined-maps.ts'

/** A container as the runtime specification knows it. */
export interface OciBundle {
  dir: string
  spec: Pick<ShimSpec, 'id'>
  config: OciConfig
}

export interface Bundle extends OciBundle {
  spec: ShimSpec
}

/** Throws HF_INVALID_CONFIG or HF_UNSUPPORTED, with the field. */
export function readBundle(dir: string, spec: ShimSpec): Bundle {
  return { dir, spec, config: withJoinedMaps(parseConfigJson(readFileSync(`${dir}/config.json`, 'utf8'))) }
}

export function readShimSpec(dir: string): ShimSpec {
  return parseShimSpec(readFileSync(`${dir}/shim.json`, 'utf8'))
}

export function planBundle({ dir, spec, config }: Bundle): ContainerPlan {
  const stage = `${dir}/stage`
  mkdirSync(stage, { recursive: true, mode: 0o700 })
  return planContainer(config, {
    id: spec.id,
    bundle: dir,
    stage,
    ...(spec.rootfs && { rootfs: spec.rootfs }),
    init: spec.init,
    cgroupParent: spec.cgroupParent,
    pivot: 'pivot',
    host: probeHost(),
  })
}

/** The process's user as the host numbers it, through the container's id maps. */
export function hostOwner(
  { config }: Pick<OciBundle, 'config'>,
  user = config.process?.user,
): { uid: number; gid: number } {
  return {
    uid: hostId(user?.uid ?? 0, config.linux?.uidMappings),
    gid: hostId(user?.gid ?? 0, config.linux?.gidMappings),
  }
}

/** config.md#state: what hooks read. */
export function ociState(bundle: OciBundle, status: OciState['status'], pid: number): OciState {
  const { annotations, ociVersion } = bundle.config
  const state: OciState = { ociVersion, id: bundle.spec.id, status, bundle: bundle.dir }
  return { ...state, ...(pid > 0 && { pid }), ...(annotations && { annotations }) }
}

interface IdMap {
  containerID: number
  hostID: number
  size: number
}

function hostId(id: number, maps: readonly IdMap[] | undefined): number {
  if (!maps || maps.length === 0) return id
  const map = maps.find(({ containerID, size }) => id >= containerID && id < containerID + size)
  return map ? map.hostID + id - map.containerID : id
}
