/**
 * Image references as Docker reads and prints them. Grammar:
 * https://pkg.go.dev/github.com/distribution/reference#pkg-overview
 *
 * `busybox` stands for `docker.io/library/busybox`: what is stored is the full form, what people see the familiar
 * one.
 */
import { HoldfastError } from '@holdfast/errors'

/** A name of an image, taken apart. */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  domain: string
  /** `library/busybox`. */
  path: string
  tag?: string
  /** `sha256:…`. */
  digest?: string
}

const defaultDomain = 'docker.io'
const officialPrefix = 'library/'
const maxNameLength = 255
/** The longest reference there can be: a name, a tag, and a digest of sha512, with room to spare. */
const maxLength = 1024

// Each of these is linear in its input: no two alternatives of a repetition start with the same character.
const hostLabel = '[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*'
const domainPattern = new RegExp(`^(?:${hostLabel}(?:\\.${hostLabel})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const component = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*'
const pathPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/
const digestLengths: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 }

/** Throws HF_INVALID_REFERENCE with Docker's words. Neither tag nor digest is made up where there is none. */
export function parseReference(text: string): Reference {
  if (text.length === 0 || text.length > maxLength) throw invalid(text)
  if (/^[a-f0-9]{64}$/.test(text))
    throw invalid(text, `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  const { domain, rest } = splitDomain(text)
  const { path, tag, digest } = splitSuffixes(rest)
  if (path !== path.toLowerCase())
    throw invalid(text, `invalid reference format: repository name (${path}) must be lowercase`)
  if (!domainPattern.test(domain) || !pathPattern.test(path)) throw invalid(text)
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text)
  if (digest !== undefined) checkDigest(digest, text)
  if (domain.length + 1 + path.length > maxNameLength)
    throw invalid(text, `repository name must not be more than ${maxNameLength} characters`)
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) }
}

/** With `:latest` where the reference has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: 'latest' }
    : reference
}

/** `docker.io/library/busybox`. */
export function fullName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`
}

/** `docker.io/library/busybox:latest`. */
export function fullReference(reference: Reference): string {
  return fullName(reference) + suffix(reference)
}

/** `busybox`: the shortest name that parses back to the same. */
export function familiarName(reference: Reference): string {
  const { domain, path } = reference
  if (domain !== defaultDomain) return `${domain}/${path}`
  const short = path.startsWith(officialPrefix) ? path.slice(officialPrefix.length) : path
  // `library/a/b` has a second slash: `a/b` would be another repository.
  return short.includes('/') && path.startsWith(officialPrefix) ? path : short
}

/** `busybox:latest`. */
export function familiarReference(reference: Reference): string {
  return familiarName(reference) + suffix(reference)
}

/** Whether `digest` is a well-formed `sha256:…`, in lower case. */
export function isSha256(digest: unknown): digest is string {
  return typeof digest === 'string' && /^sha256:[a-f0-9]{64}$/.test(digest)
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
}

/** The first component is a domain where it could not be a user's name on Docker Hub. */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  const isDomain = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  let domain = isDomain ? first : defaultDomain
  let rest = isDomain ? text.slice(slash + 1) : text
  if (domain === 'index.docker.io') domain = defaultDomain
  if (domain === defaultDomain && !rest.includes('/')) rest = officialPrefix + rest
  return { domain, rest }
}

function splitSuffixes(rest: string): { path: string; tag?: string; digest?: string } {
  const at = rest.indexOf('@')
  const named = at < 0 ? rest : rest.slice(0, at)
  const colon = named.indexOf(':')
  return {
    path: colon < 0 ? named : named.slice(0, colon),
    ...(colon >= 0 && { tag: named.slice(colon + 1) }),
    ...(at >= 0 && { digest: rest.slice(at + 1) }),
  }
}

function checkDigest(digest: string, text: string): void {
  const colon = digest.indexOf(':')
  const algorithm = digest.slice(0, Math.max(colon, 0))
  const hex = digest.slice(colon + 1)
  if (!/^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*$/.test(algorithm)) throw invalid(text)
  if (!/^[0-9a-fA-F]{32,}$/.test(hex)) throw invalid(text)
  const length = Object.hasOwn(digestLengths, algorithm) ? digestLengths[algorithm] : undefined
  if (length === undefined) throw invalid(text, `unsupported digest algorithm: ${algorithm}`)
  if (hex.length !== length || hex !== hex.toLowerCase())
    throw invalid(text, 'invalid checksum digest format')
}

function invalid(text: string, message = 'invalid reference format'): HoldfastError {
  return new HoldfastError('HF_INVALID_REFERENCE', message, {
    details: { reference: text.slice(0, maxLength) },
  })
}
