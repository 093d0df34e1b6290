/** What a create request may not say. Everything is checked before anything is made. */
import { HoldfastError } from '@holdfast/errors'
import type { ContainerConfig, HostConfig, NetworkingConfig } from './container-config.ts'
import { parseExtraHost } from './etc/etc-files.ts'
import type { NamespaceChoices } from './namespaces/namespace-modes.ts'
import { parseContainerPorts } from './network/ports.ts'
import { parseSignal } from './signals.ts'

/** Throws HF_BAD_REQUEST, or HF_UNSUPPORTED for what this version cannot do, with the field's name. */
export function validateRequest(
  config: ContainerConfig,
  host: HostConfig,
  networking: NetworkingConfig,
  choices: NamespaceChoices,
): void {
  checkStrings(config, 'Config')
  checkStrings(host, 'HostConfig')
  checkConfig(config)
  checkHostConfig(host)
  checkNetworking(networking, choices)
  checkConflicts(config, host, choices)
}

function checkConfig(config: ContainerConfig): void {
  const { WorkingDir, Hostname, Domainname, StopSignal, Env } = config
  if (WorkingDir !== '' && !WorkingDir.startsWith('/')) {
    throw bad(
      'WorkingDir',
      `the working directory '${WorkingDir}' is invalid, it needs to be an absolute path`,
    )
  }
  if (!isKernelName(Hostname)) throw bad('Hostname', `invalid hostname: ${Hostname}`)
  if (!isKernelName(Domainname)) throw bad('Domainname', `invalid domainname: ${Domainname}`)
  if (StopSignal) parseSignal(StopSignal)
  for (const entry of Env)
    if (entry.startsWith('=') || entry === '') throw bad('Env', `invalid environment variable: ${entry}`)
  for (const port of Object.keys(config.ExposedPorts)) parseContainerPorts(port)
}

/**
 * sethostname(2) takes 64 bytes, whatever they are, and Docker passes them on: blanks and umlauts too. A line break
 * would end the line that the name has in the container's /etc/hosts.
 */
function isKernelName(name: string): boolean {
  return Buffer.byteLength(name) <= 64 && !/[\r\n]/.test(name)
}

const restartPolicies = new Set(['always', 'unless-stopped', 'on-failure'])

function checkRestartPolicy({ RestartPolicy, AutoRemove }: HostConfig): void {
  const field = 'HostConfig.RestartPolicy'
  const { Name, MaximumRetryCount } = RestartPolicy
  const isNone = Name === '' || Name === 'no'
  if (!isNone && !restartPolicies.has(Name)) throw bad(field, `invalid restart policy '${Name}'`)
  if (MaximumRetryCount !== 0 && Name !== 'on-failure')
    throw bad(field, `maximum retry count cannot be used with restart policy '${Name}'`)
  if (MaximumRetryCount < 0) throw bad(field, 'maximum retry count cannot be negative')
  if (isNone) return
  if (AutoRemove) throw bad(field, "can't create 'AutoRemove' container with restart policy")
  throw unsupported(field, `restart policy '${Name}' is not supported yet`)
}

function checkHostConfig(host: HostConfig): void {
  const { ExtraHosts, ShmSize, OomScoreAdj, Dns } = host
  checkRestartPolicy(host)
  for (const text of ExtraHosts) parseExtraHost(text)
  for (const server of Dns)
    if (!/^[\d.]+$|^[\da-fA-F:.%]+$/.test(server))
      throw bad('HostConfig.Dns', `${server} is not an ip address`)
  if (ShmSize < 0) throw bad('HostConfig.ShmSize', 'SHM size can not be less than 0')
  if (OomScoreAdj < -1000 || OomScoreAdj > 1000) {
    throw bad(
      'HostConfig.OomScoreAdj',
      `Invalid value ${OomScoreAdj}, range for oom score adj is [-1000, 1000]`,
    )
  }
}

function checkNetworking({ EndpointsConfig }: NetworkingConfig, { network }: NamespaceChoices): void {
  for (const [name, endpoint] of Object.entries(EndpointsConfig)) {
    const known = name === 'default' ? 'bridge' : name
    if (known !== 'bridge' && known !== 'host' && known !== 'none') {
      throw new HoldfastError('HF_NETWORK_NOT_FOUND', `network ${name} not found`, {
        details: { network: name },
      })
    }
    if (known !== network) {
      throw bad(
        'NetworkingConfig',
        `the endpoint of network ${name} does not fit the container's network mode`,
      )
    }
    const { IPv4Address, IPv6Address } = endpoint.IPAMConfig ?? {}
    if (IPv4Address || IPv6Address) {
      throw bad('NetworkingConfig', 'user specified IP address is supported on user defined networks only')
    }
  }
}

/** Docker's own rules, in its words. */
function checkConflicts(config: ContainerConfig, host: HostConfig, { network }: NamespaceChoices): void {
  const conflict = (one: string, other: string): HoldfastError =>
    new HoldfastError('HF_BAD_REQUEST', `conflicting options: ${one} and ${other}`)
  if (host.UTSMode === 'host' && config.Hostname !== '') throw conflict('hostname', 'the UTS mode')
  if (network !== 'shared') return
  const mode = 'the network mode'
  if (config.Hostname !== '') throw conflict('hostname', mode)
  if (host.Dns.length > 0) throw conflict('dns', mode)
  if (host.ExtraHosts.length > 0) throw conflict('custom host-to-IP mapping', mode)
  if (config.MacAddress) throw conflict('mac-address', mode)
  if (Object.keys(host.PortBindings).length > 0 || host.PublishAllPorts)
    throw conflict('port publishing', 'the container type network mode')
  if (Object.keys(config.ExposedPorts).length > 0)
    throw conflict('port exposing', 'the container type network mode')
}

/** A NUL would end a string early in the kernel: what was checked is then not what is used. */
function checkStrings(value: unknown, field: string): void {
  if (typeof value === 'string') {
    if (value.includes('\0')) throw bad(field, `${field} contains a NUL byte`)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      if (key.includes('\0')) throw bad(field, `a name in ${field} contains a NUL byte`)
      checkStrings(inner, `${field}.${key}`)
    }
  }
}

function bad(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field } })
}

function unsupported(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', message, { details: { field } })
}
