import { parseConfig, type OciConfig, type OciProcess } from '@holdfast/plan'
import { badRequest } from './refuse.ts'
import { capabilitiesOf, capabilitySets } from './capabilities.ts'
import { deviceNodes } from './devices.ts'
import { environmentOf } from './environment.ts'
import { hiddenPaths } from './masked-paths.ts'
import { mountsOf } from './mounts.ts'
import { resourcesOf, resourceWarnings } from './resources.ts'
import { defaultSeccomp } from './seccomp/default-profile.ts'
import { resolveProfile } from './seccomp/docker-profile.ts'
import { securityOptions, type SecurityOptions } from './security-options.ts'
import { sysctlsOf } from './sysctls.ts'
import { rlimitsOf } from './ulimits.ts'
import type { NamespaceType } from '@holdfast/protocol'
import type { SpecInput } from './spec-input.ts'

export interface Spec {
  /** For `config.json`: JSON.stringify takes it as it is. */
  config: OciConfig
  /** A reaping PID 1. */
  init: boolean
  /** The layers of the root are mapped by the container's user namespace. */
  idmap: boolean
  /** For the answer to the create request. */
  warnings: string[]
}

/**
 * Docker's request, resolved, as an OCI configuration. Pure. Throws HF_BAD_REQUEST or HF_UNSUPPORTED with the request's
 * field, HF_INVALID_CONFIG with the JSON path for a seccomp profile of the user's that isn't one.
 */
export function buildSpec(input: SpecInput): Spec {
  const { hostConfig, idRange, host } = input
  const capabilities = capabilitiesOf(hostConfig, host.capabilities)
  const missing = capabilities.filter((name) => !host.capabilities.includes(name))
  const security = securityOptions(hostConfig)
  const config = {
    ociVersion: '1.2.0',
    root: { path: 'rootfs', readonly: hostConfig.ReadonlyRootfs },
    process: processOf(input, capabilities, security),
    ...(input.namespaces.uts === 'new' && { hostname: input.hostname, domainname: input.domainname }),
    mounts: mountsOf(input),
    ...(Object.keys(hostConfig.Annotations).length > 0 && { annotations: hostConfig.Annotations }),
    linux: linuxOf(input, capabilities, security),
  }
  return {
    config: parseConfig(config),
    init: hostConfig.Init === true,
    idmap: idRange !== null,
    warnings: [
      ...missing.map((name) => `${name} is left out: this host cannot grant it`),
      ...resourceWarnings(hostConfig, host),
    ],
  }
}

function processOf(input: SpecInput, capabilities: string[], security: SecurityOptions): OciProcess {
  const { config, hostConfig, user } = input
  const [height, width] = hostConfig.ConsoleSize
  return {
    terminal: config.Tty,
    ...(config.Tty && height > 0 && width > 0 && { consoleSize: { height, width } }),
    cwd: config.WorkingDir || '/',
    env: environmentOf(input),
    args: input.args,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
    rlimits: rlimitsOf(hostConfig),
    capabilities: capabilitySets(capabilities),
    noNewPrivileges: security.noNewPrivileges,
    oomScoreAdj: hostConfig.OomScoreAdj, // always: the engine's own is no container's business
  }
}

function linuxOf(
  input: SpecInput,
  capabilities: string[],
  security: SecurityOptions,
): Record<string, unknown> {
  const { id, hostConfig, idRange, host } = input
  const mappings = idRange ? [{ containerID: 0, hostID: idRange.start, size: idRange.size }] : []
  const held = new Set(capabilities)
  const seccomp =
    security.seccomp === 'default'
      ? defaultSeccomp(held, host.architecture)
      : security.seccomp === 'unconfined'
        ? undefined
        : resolveProfile(security.seccomp.profile, held, host.architecture, host.kernel)
  return {
    namespaces: namespacesOf(input),
    uidMappings: mappings,
    gidMappings: mappings,
    timeOffsets: timeOffsets(input),
    devices: deviceNodes(input),
    cgroupsPath: cgroupsPath(hostConfig.CgroupParent, id),
    resources: resourcesOf(input),
    sysctl: sysctlsOf(input),
    ...(seccomp && { seccomp }),
    ...hiddenPaths(hostConfig, host),
  }
}

const ociNames: Record<NamespaceType, string> = {
  cgroup: 'cgroup',
  ipc: 'ipc',
  mnt: 'mount',
  net: 'network',
  pid: 'pid',
  time: 'time',
  user: 'user',
  uts: 'uts',
}

function namespacesOf({ namespaces }: SpecInput): { type: string; path?: string }[] {
  return (Object.keys(ociNames) as NamespaceType[]).flatMap((type) => {
    const choice = namespaces[type]
    if (choice === 'host') return []
    return [choice === 'new' ? { type: ociNames[type] } : { type: ociNames[type], path: choice.path }]
  })
}

/** Seconds, with a fraction. The kernel wants nanoseconds from 0 up, whatever the sign of the seconds. */
function timeOffsets({
  hostConfig,
  namespaces,
}: SpecInput): Record<string, { secs: number; nanosecs: number }> {
  const offsets = Object.entries(hostConfig.TimeOffsets).filter(
    ([, seconds]) => seconds !== undefined && seconds !== 0,
  )
  if (offsets.length > 0 && namespaces.time !== 'new')
    throw badRequest('HostConfig.TimeOffsets', "time offsets need a time namespace of the container's own")
  return Object.fromEntries(
    offsets.map(([clock, seconds]) => {
      if (!Number.isFinite(seconds))
        throw badRequest('HostConfig.TimeOffsets', `invalid time offset: ${seconds}`)
      const secs = Math.floor(seconds)
      return [clock, { secs, nanosecs: Math.min(999_999_999, Math.round((seconds - secs) * 1e9)) }]
    }),
  )
}

function cgroupsPath(parent: string, id: string): string {
  if (parent.split('/').includes('..'))
    throw badRequest('HostConfig.CgroupParent', `invalid cgroup parent "${parent}": it must not contain ".."`)
  return parent === '' ? id : `${parent}/${id}`
}
