import { offeredVersion } from './api-version.ts'

/** What every answer carries; docker negotiates by the first and third. */
export function standardHeaders(release: string): Record<string, string> {
  return {
    'Api-Version': offeredVersion,
    'Docker-Experimental': 'false',
    Ostype: 'linux',
    Server: `Holdfast/${release} (linux)`,
  }
}

/** Status line and headers for an answer that is written to a bare connection. */
export function rawHead(status: string, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`
}
