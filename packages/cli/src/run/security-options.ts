import { readFileSync } from 'node:fs'

import { usageError } from '../command-line.ts'

/** As docker's client: the file of `seccomp=FILE` is read here, and its content sent. */
export function securityOptions(options: string[]): string[] {
  return options.map((option) => {
    const [, key, value] = /^([a-z-]+)[=:](.*)$/s.exec(option) ?? []
    if (key !== 'seccomp' || value === 'unconfined' || value === 'builtin' || value === undefined)
      return option
    try {
      return `seccomp=${JSON.stringify(JSON.parse(readFileSync(value, 'utf8')))}`
    } catch (error) {
      throw usageError(`opening seccomp profile ${value} failed: ${(error as Error).message}`)
    }
  })
}
