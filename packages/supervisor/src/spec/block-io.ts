/** HostConfig's Blkio fields as OCI `linux.resources.blockIO`. This file reads /dev. */
import { statSync } from 'node:fs'
import type { OciResources } from '@holdfast/plan'
import { hasCode } from '@holdfast/errors'
import type { HostConfig } from '../engine/container-config.ts'
import { deviceNumber } from './host-devices.ts'
import { badRequest } from './refuse.ts'

type BlockIo = NonNullable<OciResources['blockIO']>

const throttles = [
  ['BlkioDeviceReadBps', 'throttleReadBpsDevice'],
  ['BlkioDeviceWriteBps', 'throttleWriteBpsDevice'],
  ['BlkioDeviceReadIOps', 'throttleReadIOPSDevice'],
  ['BlkioDeviceWriteIOps', 'throttleWriteIOPSDevice'],
] as const

/** Throws HF_BAD_REQUEST for a weight out of range, and for a path that is no block device. */
export function resolveBlockIo(host: HostConfig): BlockIo | undefined {
  const blockIo: BlockIo = {}
  if (host.BlkioWeight !== 0) {
    checkWeight(host.BlkioWeight, 'HostConfig.BlkioWeight')
    blockIo.weight = host.BlkioWeight
  }
  if (host.BlkioWeightDevice.length > 0) {
    blockIo.weightDevice = host.BlkioWeightDevice.map(({ Path, Weight }) => {
      checkWeight(Weight, 'HostConfig.BlkioWeightDevice')
      return { ...blockDevice(Path, 'HostConfig.BlkioWeightDevice'), weight: Weight }
    })
  }
  for (const [field, name] of throttles) {
    if (host[field].length === 0) continue
    blockIo[name] = host[field].map(({ Path, Rate }) => ({
      ...blockDevice(Path, `HostConfig.${field}`),
      rate: Rate,
    }))
  }
  return Object.keys(blockIo).length > 0 ? blockIo : undefined
}

function checkWeight(weight: number, field: string): void {
  if (weight < 10 || weight > 1000) throw badRequest(field, 'Range of blkio weight is from 10 to 1000')
}

function blockDevice(path: string, field: string): { major: number; minor: number } {
  try {
    const stats = statSync(path)
    if (stats.isBlockDevice()) return deviceNumber(stats)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error
    throw badRequest(field, `stat ${path}: no such file or directory`)
  }
  throw badRequest(field, `${path} is not a block device`)
}
