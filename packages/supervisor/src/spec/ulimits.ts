import { badRequest } from './refuse.ts'
import type { HostConfig } from '../engine/container-config.ts'
import type { OciProcess } from '@holdfast/plan'

type Rlimits = NonNullable<OciProcess['rlimits']>

/** Docker's names; each is RLIMIT_ in capitals. */
const names = new Set([
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
])

/** RLIM_INFINITY is 2^64 - 1, which no double holds; 2^64 is read as the limit itself. */
const unlimited = 2 ** 64

export function rlimitsOf({ Ulimits }: HostConfig): Rlimits {
  const limits = new Map<string, Rlimits[number]>()
  for (const { Name, Soft, Hard } of Ulimits) {
    if (!names.has(Name)) throw badRequest('HostConfig.Ulimits', `invalid ulimit type: ${Name}`)
    const [soft, hard] = [valueOf(Soft, Name), valueOf(Hard, Name)]
    if (soft > hard)
      throw badRequest(
        'HostConfig.Ulimits',
        `ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`,
      )
    const type = `RLIMIT_${Name.toUpperCase()}` as Rlimits[number]['type']
    limits.set(type, { type, soft, hard })
  }
  return [...limits.values()]
}

function valueOf(value: number, name: string): number {
  if (value === -1) return unlimited
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw badRequest('HostConfig.Ulimits', `invalid ulimit value: ${name}=${value}`)
}
