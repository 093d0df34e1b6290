import { HoldfastError } from '@holdfast/errors'
import type { LogSpec } from '@holdfast/protocol'
import type { HostConfig } from '../container-config.ts'

const units: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** `--log-driver`, `--log-opt`. Throws HF_UNSUPPORTED for another driver, HF_BAD_REQUEST for a bad option. */
export function logSpec({ LogConfig: { Type, Config } }: HostConfig, path: string): LogSpec {
  if (Type === 'none') return { driver: 'none' }
  if (Type !== '' && Type !== 'json-file') {
    throw new HoldfastError('HF_UNSUPPORTED', `logger: no log driver named '${Type}' is registered`, {
      hint: 'There are json-file and none.',
      details: { field: 'HostConfig.LogConfig.Type' },
    })
  }
  let maxSize = -1
  let maxFile = 1
  for (const [name, value] of Object.entries(Config)) {
    if (name === 'max-size') maxSize = parseSize(value)
    else if (name === 'max-file') maxFile = parseCount(value)
    else if (harmless[name] !== value) throw refusal(name)
  }
  // Files are only ever begun where one is full.
  return { driver: 'json-file', path, maxSize, maxFile: maxSize < 0 ? 1 : maxFile }
}

/** Options at the value that Docker has without them. */
const harmless: Record<string, string> = { mode: 'blocking', compress: 'false' }

/** What else Docker's json-file driver knows. */
const unbuilt = new Set([
  'mode',
  'max-buffer-size',
  'compress',
  'labels',
  'labels-regex',
  'env',
  'env-regex',
  'tag',
])

function refusal(name: string): HoldfastError {
  const details = { field: `HostConfig.LogConfig.Config.${name}` }
  return unbuilt.has(name)
    ? new HoldfastError('HF_UNSUPPORTED', `log opt '${name}' is not supported yet`, { details })
    : bad(`unknown log opt '${name}' for json-file log driver`, name)
}

/** `10m`, `1.5g`, `1000`; `-1` for unlimited. */
function parseSize(text: string): number {
  if (text === '-1') return -1
  const [, number = '', unit = ''] = /^(\d{1,12}(?:\.\d{1,6})?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text) ?? []
  const size = Math.floor(Number(number) * (units[unit.toLowerCase()] ?? Number.NaN))
  if (number === '' || !Number.isSafeInteger(size) || size <= 0)
    throw bad(`invalid value for max-size: ${text}`, 'max-size')
  return size
}

function parseCount(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count < 1) throw bad(`invalid value for max-file: ${text}: it must be 1 to 999`, 'max-file')
  return count
}

function bad(message: string, option: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, {
    details: { field: `HostConfig.LogConfig.Config.${option}` },
  })
}
