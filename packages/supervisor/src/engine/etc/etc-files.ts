/** /etc/hosts, /etc/hostname and /etc/resolv.conf of a container, as Docker writes them. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { hasCode, HoldfastError } from '@holdfast/errors'

export interface HostsOptions {
  /** The container's addresses; none without a network of its own. */
  addresses: string[]
  hostname: string
  domainname: string
  /** `--add-host`: `name:address` or `name=address`; `host-gateway` is the host's address as the container sees it. */
  extraHosts: string[]
  hostGateway: string | undefined
}

export function hostsFile({
  addresses,
  hostname,
  domainname,
  extraHosts,
  hostGateway,
}: HostsOptions): string {
  // Either may bring the domain: `-h web.test`, or `-h web --domainname test`.
  const full = domainname === '' ? hostname : `${hostname}.${domainname}`
  const names = full.includes('.') ? `${full} ${full.split('.', 1)[0]}` : full
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...extraHosts.map((text) => extraHostLine(text, hostGateway)),
    ...addresses.map((address) => `${address}\t${names}`),
    '',
  ].join('\n')
}

/** A container on the host's network has the host's names, and what was added for it. */
export function hostNetworkHostsFile(host: string, extraHosts: string[]): string {
  const lines = extraHosts.map((text) => `${extraHostLine(text, '127.0.0.1')}\n`)
  return lines.length === 0 ? host : `${host.replace(/\n?$/, '\n')}${lines.join('')}`
}

/** Splits `name:address`, `name=address`; the address may be IPv6, in brackets or not. Throws HF_BAD_REQUEST. */
export function parseExtraHost(text: string): { name: string; address: string } {
  const at = text.search(/[:=]/)
  const name = text.slice(0, Math.max(at, 0))
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, '$1')
  if (name === '' || !/^[\w.-]+$/.test(name)) throw bad(`bad format for add-host: "${text}"`)
  if (address !== 'host-gateway' && isIP(address) === 0)
    throw bad(`invalid IP address in add-host: "${address}"`)
  return { name, address }
}

function extraHostLine(text: string, hostGateway: string | undefined): string {
  const { name, address } = parseExtraHost(text)
  if (address !== 'host-gateway') return `${address}\t${name}`
  if (hostGateway === undefined) {
    throw bad('unable to derive the IP value for host-gateway: the container is on no bridge network')
  }
  return `${hostGateway}\t${name}`
}

export interface ResolvOptions {
  /** The text of the host's resolv.conf. */
  host: string
  dns: string[]
  search: string[]
  options: string[]
  /** The container is in the host's network namespace: loopback servers work there. */
  hostNetwork: boolean
}

/** Public servers, as Docker falls back to when the host has none that a container can reach. */
const fallback = ['8.8.8.8', '8.8.4.4']

export function resolvConf({ host, dns, search, options, hostNetwork }: ResolvOptions): string {
  const valuesOf = keywordsOf(host)
  const servers = reachableServers({ host, dns, hostNetwork })
  const usedFallback = servers.length === 0 && !hostNetwork
  const domains =
    search.length > 0 ? search.filter((domain) => domain !== '.') : (valuesOf('search').at(-1) ?? [])
  const flags = options.length > 0 ? options : valuesOf('options').flat()
  return [
    '# Made by Holdfast for this container; changes made here last as long as the container.',
    ...(usedFallback
      ? ['# The host names no server that a container can reach: these are public ones.']
      : []),
    ...(usedFallback ? fallback : servers).map((server) => `nameserver ${server}`),
    ...(domains.length > 0 ? [`search ${domains.join(' ')}`] : []),
    ...(flags.length > 0 ? [`options ${flags.join(' ')}`] : []),
    '',
  ].join('\n')
}

/** Whom to ask, public servers where nobody else is named. */
export function nameServers(options: Pick<ResolvOptions, 'host' | 'dns' | 'hostNetwork'>): string[] {
  const servers = reachableServers(options)
  return servers.length > 0 ? servers : fallback
}

function reachableServers({
  host,
  dns,
  hostNetwork,
}: Pick<ResolvOptions, 'host' | 'dns' | 'hostNetwork'>): string[] {
  if (dns.length > 0) return dns
  const servers = keywordsOf(host)('nameserver').flatMap((words) => words.slice(0, 1))
  return hostNetwork ? servers : servers.filter((server) => !isLoopback(server))
}

/** The words behind a keyword, by line. */
function keywordsOf(host: string): (keyword: string) => string[][] {
  const lines = host.split('\n').map((line) => line.trim().split(/\s+/))
  return (keyword) => lines.filter(([first]) => first === keyword).map((words) => words.slice(1))
}

/** The host's resolv.conf; where systemd-resolved's stub is all that it names, the file with the real servers. */
export function readHostResolvConf(read: (path: string) => string = readIfThere): string {
  const text = read('/etc/resolv.conf')
  const servers = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1])
  if (servers.length !== 1 || servers[0] !== '127.0.0.53') return text
  return read('/run/systemd/resolve/resolv.conf') || text
}

export function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  }
}

function isLoopback(server: string): boolean {
  return server.startsWith('127.') || server === '::1'
}

function bad(message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field: 'HostConfig.ExtraHosts' } })
}
