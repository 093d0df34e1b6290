/** The configuration of an image made from a file system's archive. */
import { HoldfastError } from '@holdfast/errors'
import { applyChanges } from './changes.ts'
import { hostPlatform, parsePlatform } from '../platform.ts'
import type { ImportTemplate } from '../task/task.ts'

/** Throws HF_BAD_REQUEST for a change that is no instruction, HF_UNSUPPORTED for another system than Linux. */
export function importTemplate(options: {
  message?: string
  changes?: string[]
  platform?: string
}): ImportTemplate {
  const platform = options.platform ? parsePlatform(options.platform) : hostPlatform()
  if (platform.os !== 'linux') {
    throw new HoldfastError('HF_UNSUPPORTED', `operating system is not supported: ${platform.os}`, {
      details: { field: 'platform' },
    })
  }
  const created = new Date().toISOString()
  const comment = options.message ?? ''
  return {
    config: {
      architecture: platform.architecture,
      ...(platform.variant !== undefined && { variant: platform.variant }),
      os: platform.os,
      created,
      ...(comment !== '' && { comment }),
      config: applyChanges({}, options.changes ?? []),
      history: [{ created, ...(comment !== '' && { comment }) }],
    },
  }
}
