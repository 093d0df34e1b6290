/**
 * Limits as a unit's properties, from the very writes that set them: systemd writes what it knows of a unit again
 * whenever it likes, so it must know the same. What it has no property for it leaves alone.
 */
import type { CgroupWrite, ContainerPlan, DeviceRule, OciConfig } from '@holdfast/plan'
import type { Variant } from './dbus-message.ts'
import { HoldfastError } from '@holdfast/errors'

export type Property = readonly [name: string, value: Variant]

const infinity = 2n ** 64n - 1n
const u64 = (value: bigint): Variant => ({ signature: 't', value })
const text = (value: string): Variant => ({ signature: 's', value })

/** Control file → property, for those whose value is one number, or none. */
const numbers: Readonly<Record<string, string>> = {
  'memory.max': 'MemoryMax',
  'memory.high': 'MemoryHigh',
  'memory.low': 'MemoryLow',
  'memory.min': 'MemoryMin',
  'memory.swap.max': 'MemorySwapMax',
  'memory.limit_in_bytes': 'MemoryLimit',
  'cpu.weight': 'CPUWeight',
  'cpu.shares': 'CPUShares',
  'io.weight': 'IOWeight',
  'pids.max': 'TasksMax',
}
const sets: Readonly<Record<string, string>> = {
  'cpuset.cpus': 'AllowedCPUs',
  'cpuset.mems': 'AllowedMemoryNodes',
}
const defaultPeriod = 100_000n

/** Of a new container's scope. */
export function scopeProperties(plan: ContainerPlan, { annotations }: OciConfig): Property[] {
  const cgroup = plan.preparations.find((each) => each.do === 'make-cgroup')
  return [
    ...limitProperties(cgroup?.writes ?? []),
    ...(cgroup?.version === 1 ? deviceProperties(cgroup.devices) : []),
    ...annotatedProperties(annotations),
  ]
}

export function limitProperties(writes: readonly CgroupWrite[]): Property[] {
  const cpu: { quota?: bigint; period?: bigint } = {}
  const properties = writes.flatMap(({ file, value }): Property[] => {
    if (file === 'cpu.max') {
      const [quota, period] = value.split(' ').map(limit)
      Object.assign(cpu, { quota, ...(period && { period }) })
    }
    if (file === 'cpu.cfs_quota_us') cpu.quota = limit(value)
    if (file === 'cpu.cfs_period_us') cpu.period = limit(value)
    if (file === 'cpu.idle' && value === '1') return [['CPUWeight', u64(0n)]] // systemd's word for it
    const set = sets[file]
    if (set) return [[set, { signature: 'ay', value: bitmask(value) }]]
    const name = numbers[file]
    return name && isLimit(value) ? [[name, u64(limit(value))]] : []
  })
  return [...properties, ...cpuProperties(cpu)]
}

/** `-1` and `max`: none. 0 is no limit that systemd takes; the file alone has it. */
const isLimit = (value: string): boolean => /^([1-9]\d*|-1|max)$/.test(value)
const limit = (value: string): bigint => (/^\d+$/.test(value) ? BigInt(value) : infinity)

/** In microseconds for each second, and whole percents, rounded up: a container's own share must not come out smaller. */
function cpuProperties({ quota, period }: { quota?: bigint; period?: bigint }): Property[] {
  const properties: Property[] = period ? [['CPUQuotaPeriodUSec', u64(period)]] : []
  if (quota === undefined) return properties
  const exact = (quota * 1_000_000n) / (period ?? defaultPeriod)
  const perSecond = quota === infinity ? infinity : ((exact + 9999n) / 10_000n) * 10_000n
  return [...properties, ['CPUQuotaPerSecUSec', u64(perSecond)]]
}

/** `0-2,5` → the bytes of a mask, the lowest first. */
function bitmask(list: string): number[] {
  const bytes: number[] = []
  for (const range of list.split(',').filter((each) => each.trim() !== '')) {
    const [first = 0, last = first] = range.split('-').map(Number)
    for (let bit = first; bit <= Math.min(last, 8191); bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0)
      bytes[bit >> 3]! |= 1 << (bit & 7)
    }
  }
  return bytes
}

/**
 * On cgroup v1, where systemd would write its own idea of the devices into the same files. On v2 both have a filter,
 * and both must agree: ours is enough. Rules that deny what an earlier one allows systemd can't say.
 */
export function deviceProperties(rules: readonly DeviceRule[]): Property[] {
  const start = rules.findLastIndex(({ type }) => type === 'a')
  const [first, ...rest] = rules.slice(Math.max(start, 0))
  if (first?.allow) return rest.every(({ allow }) => allow) ? [] : refuse()
  if (rest.some(({ allow }) => !allow)) refuse()
  const allowed = rest.map(({ type, major, minor, access }) => [deviceNode(type, major, minor), access])
  return [
    ['DevicePolicy', text('strict')],
    ['DeviceAllow', { signature: 'a(ss)', value: allowed }],
  ]
}

function deviceNode(type: DeviceRule['type'], major: number | '*', minor: number | '*'): string {
  const kind = type === 'b' ? 'block' : 'char'
  if (major === '*') return `${kind}-*`
  return minor === '*' ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`
}

function refuse(): never {
  const path = 'linux.resources.devices'
  throw new HoldfastError(
    'HF_UNSUPPORTED',
    `${path}: with systemd on cgroup v1, device rules cannot deny a part of what others allow`,
    { details: { field: path, path } },
  )
}

/** features.md: annotations beneath it change what is done. */
export const annotationPrefix = 'org.systemd.property.'

/**
 * What annotations set: `org.systemd.property.NAME`, with a value as GVariant writes it: `true`, `'text'`, `uint64 5`,
 * `['a', 'b']`. A NAME that ends with Sec is given in seconds, and set as USec.
 */
export function annotatedProperties(annotations: Readonly<Record<string, string>> = {}): Property[] {
  return Object.entries(annotations).flatMap(([key, value]): Property[] => {
    if (!key.startsWith(annotationPrefix)) return []
    const name = key.slice(annotationPrefix.length)
    const parsed = /^[A-Z][A-Za-z0-9]{2,}$/.test(name) ? variantOf(value.trim()) : undefined
    if (!parsed) {
      const path = `annotations.${key}`
      throw new HoldfastError('HF_INVALID_CONFIG', `${path} is no property of a unit: ${value}`, {
        details: { path },
      })
    }
    if (!/[^U]Sec$/.test(name) || typeof parsed.value === 'string') return [[name, parsed]]
    return [[name.replace(/Sec$/, 'USec'), u64(BigInt(Math.round(Number(parsed.value) * 1e6)))]]
  })
}

const widths: Readonly<Record<string, string>> = { int32: 'i', uint32: 'u', int64: 'x', uint64: 't' }

function variantOf(value: string): Variant | undefined {
  if (value === 'true' || value === 'false') return { signature: 'b', value: value === 'true' }
  const quoted = /^(?:'([^'\\]*)'|"([^"\\]*)")$/.exec(value)
  if (quoted) return text(quoted[1] ?? quoted[2] ?? '')
  const [, width = 'int32', digits] = /^(?:(u?int(?:32|64)) )?(-?\d{1,20})$/.exec(value) ?? []
  if (digits !== undefined)
    return { signature: widths[width]!, value: width.endsWith('64') ? BigInt(digits) : Number(digits) }
  const list = /^\[(.*)\]$/.exec(value)?.[1]
  const items = list?.split(',').map((each) => variantOf(each.trim()))
  if (!items?.every((each) => each?.signature === 's')) return undefined
  return { signature: 'as', value: items.map((each) => each!.value) }
}
