/** OCI `linux.resources.blockIO`: weights of the BFQ scheduler or io.cost, and throttles. */
import { invalid } from '../config/reader.ts'
import { unsupported } from '../config/unsupported.ts'
import type { Put } from './resources.ts'
import type { OciResources } from '../config/resources.ts'

type BlockIo = NonNullable<OciResources['blockIO']>

/** The four throttles: the field, v1's file, v2's key in io.max. */
const throttles = [
  ['throttleReadBpsDevice', 'blkio.throttle.read_bps_device', 'rbps'],
  ['throttleWriteBpsDevice', 'blkio.throttle.write_bps_device', 'wbps'],
  ['throttleReadIOPSDevice', 'blkio.throttle.read_iops_device', 'riops'],
  ['throttleWriteIOPSDevice', 'blkio.throttle.write_iops_device', 'wiops'],
] as const

export function blockIoWrites(blockIO: BlockIo, version: 1 | 2, put: Put): void {
  const controller = version === 2 ? 'io' : 'blkio'
  const { weight, leafWeight, weightDevice = [] } = blockIO
  if (leafWeight) throw leafWeightGone('blockIO.leafWeight')
  if (weight) putWeight(put, version, { weight, device: '', field: 'blockIO.weight' })
  weightDevice.forEach((device, index) => {
    const field = `blockIO.weightDevice[${index}]`
    if (device.leafWeight) throw leafWeightGone(`${field}.leafWeight`)
    if (!device.weight) return
    putWeight(put, version, { weight: device.weight, device: `${device.major}:${device.minor} `, field })
  })
  for (const [name, file, key] of throttles) {
    blockIO[name]?.forEach(({ major, minor, rate }, index) => {
      const field = `blockIO.${name}[${index}]`
      if (version === 1) put(controller, file, `${major}:${minor} ${rate}`, field)
      // 0 lifts the limit on v1; v2 refuses it and says `max`.
      else put(controller, 'io.max', `${major}:${minor} ${key}=${BigInt(rate) === 0n ? 'max' : rate}`, field)
    })
  }
}

/**
 * Linux 5.0 took CFQ away, and v1's blkio.weight with it: BFQ has files of its own there. On v2 io.cost has io.weight,
 * of 1 to 10000; without it BFQ's file may be there, of 1 to 1000.
 */
function putWeight(
  put: Put,
  version: 1 | 2,
  { weight, device, field }: { weight: number; device: string; field: string },
): void {
  if (weight < 10 || weight > 1000) {
    const path = `linux.resources.${field}${field.endsWith('weight') ? '' : '.weight'}`
    throw invalid(path, `must be from 10 to 1000, not ${weight}`)
  }
  if (version === 1) {
    const file = device === '' ? 'blkio.bfq.weight' : 'blkio.bfq.weight_device'
    return put('blkio', file, `${device}${weight}`, field)
  }
  const cost = 1 + Math.floor(((weight - 10) * 9999) / 990)
  const otherwise = { file: 'io.bfq.weight', value: `${device}${weight}` }
  put('io', 'io.weight', `${device}${cost}`, field, { otherwise })
}

function leafWeightGone(field: string): Error {
  return unsupported(`linux.resources.${field}`, 'no kernel since Linux 5.0 has leaf weights')
}
