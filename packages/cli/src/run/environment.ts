import { readFileSync } from 'node:fs'

import { usageError } from '../command-line.ts'

/** Files first, then flags; a bare KEY takes its value from this process, and is left out where that has none. */
export function readEnvironment(files: string[], flags: string[]): string[] {
  return [...files.flatMap(lines), ...flags].flatMap((entry) => {
    if (entry.includes('=')) {
      if (entry.startsWith('=')) throw usageError(`invalid environment variable: ${entry}`)
      return [entry]
    }
    const value = process.env[entry]
    return value === undefined ? [] : [`${entry}=${value}`]
  })
}

export function readLabels(files: string[], flags: string[]): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const entry of [...files.flatMap(lines), ...flags]) {
    const equals = entry.indexOf('=')
    labels[equals < 0 ? entry : entry.slice(0, equals)] = equals < 0 ? '' : entry.slice(equals + 1)
  }
  return labels
}

function lines(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
}
