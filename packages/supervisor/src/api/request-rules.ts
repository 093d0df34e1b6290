import { HoldfastError } from '@holdfast/errors'
import type { IncomingMessage } from 'node:http'

/**
 * A browser can be made to talk to any HTTP server it can reach. It can't leave out `Origin` when a page of another
 * site makes the request, and after DNS rebinding its `Host` is that site's name. Docker's clients send no Origin,
 * and as Host a bare word, an address, `*.localhost` or the socket's path.
 */
export function checkRequest(request: IncomingMessage): void {
  if (request.headers.origin !== undefined) {
    throw new HoldfastError('HF_FORBIDDEN', 'requests from web pages (with an Origin header) are refused')
  }
  const host = request.headers.host
  if (host !== undefined && !isLocalHost(host)) {
    throw new HoldfastError('HF_FORBIDDEN', `the Host header names "${host}", which is not this engine`)
  }
}

function isLocalHost(host: string): boolean {
  if (!host.includes('.')) return true // a public name has a dot
  // A socket's path, bare or percent-encoded.
  if (host.startsWith('/') || host.toLowerCase().startsWith('%2f')) return true
  const name = host.replace(/:\d+$/, '')
  if (/^\[[0-9a-f:.]+\]$/i.test(name)) return true
  // An address has no letters.
  return /^[\d.]+$/.test(name) || name.endsWith('.localhost')
}

/** `GET http://docker/info`, as proxies are asked; every server has to take it (RFC 9112, 3.2.2). */
export function toOriginForm(request: IncomingMessage): void {
  const { url = '/' } = request
  if (url.startsWith('/')) return
  const rest = url.replace(/^https?:\/\/[^/?]*/i, '')
  if (rest !== url) request.url = rest.startsWith('/') ? rest : `/${rest}`
}

/** What Go's parser refuses: URLSearchParams would read something else out of it, and nobody would know. */
export function checkQuery(query: string): void {
  const escape = /%(?![0-9a-f]{2}).{0,2}/i.exec(query)
  if (escape) throw new HoldfastError('HF_BAD_REQUEST', `invalid URL escape "${escape[0]}"`)
  if (query.includes(';'))
    throw new HoldfastError('HF_BAD_REQUEST', 'invalid semicolon separator in query', {
      hint: 'Write ; within a value as %3B.',
    })
}
