// From the flags of `run` and `create` to the create request of the Engine API.
import { resolve } from 'node:path'

import type { Parsed } from '../command-line.ts'
import { usageError } from '../command-line.ts'
import { readEnvironment, readLabels } from './environment.ts'
import { parseMount } from './mount.ts'
import { exposedPorts, publishedPorts } from './ports.ts'
import { bytes, keyValues, nanoCpus, timeOffsets, ulimit } from './values.ts'
import { securityOptions } from './security-options.ts'

/** The body of POST /containers/create. */
export function createBody(parsed: Parsed): Record<string, unknown> {
  const [image, ...command] = parsed.arguments
  const network = parsed.text('network') ?? parsed.text('net') ?? 'default'
  const attach = attached(parsed)
  return {
    Image: image,
    Cmd: command.length > 0 ? command : null,
    ...processOptions(parsed),
    AttachStdin: attach.stdin,
    AttachStdout: attach.stdout,
    AttachStderr: attach.stderr,
    OpenStdin: parsed.flag('interactive'),
    StdinOnce: parsed.flag('interactive') && !parsed.flag('detach'),
    Tty: parsed.flag('tty'),
    ExposedPorts: exposedPorts(parsed.list('expose'), parsed.list('publish')),
    HostConfig: {
      NetworkMode: network,
      AutoRemove: parsed.flag('rm'),
      RestartPolicy: restartPolicy(parsed.text('restart') ?? 'no'),
      ...storageOptions(parsed),
      ...isolationOptions(parsed),
      ...resourceOptions(parsed),
      ...networkOptions(parsed),
    },
    NetworkingConfig: { EndpointsConfig: endpoint(parsed, network) },
  }
}

/** Which streams the client attaches to: those of -a, or stdout and stderr (and stdin with -i). */
export function attached(parsed: Parsed): { stdin: boolean; stdout: boolean; stderr: boolean } {
  if (parsed.flag('detach')) return { stdin: false, stdout: false, stderr: false }
  const named = parsed.list('attach').map((stream) => stream.toLowerCase())
  const wrong = named.find((stream) => !['stdin', 'stdout', 'stderr'].includes(stream))
  if (wrong !== undefined) throw usageError(`invalid stream "${wrong}" for --attach: stdin, stdout or stderr`)
  if (named.length === 0) return { stdin: parsed.flag('interactive'), stdout: true, stderr: true }
  return {
    stdin: named.includes('stdin'),
    stdout: named.includes('stdout'),
    stderr: named.includes('stderr'),
  }
}

function processOptions(parsed: Parsed): Record<string, unknown> {
  const entrypoint = parsed.text('entrypoint')
  return {
    Hostname: parsed.text('hostname') ?? '',
    Domainname: parsed.text('domainname') ?? '',
    User: parsed.text('user') ?? '',
    WorkingDir: parsed.text('workdir') ?? '',
    Env: readEnvironment(parsed.list('env-file'), parsed.list('env')),
    Labels: readLabels(parsed.list('label-file'), parsed.list('label')),
    // `--entrypoint ''` takes the image's entrypoint away.
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint === '' ? [''] : [entrypoint] }),
    ...(parsed.has('stop-signal') ? { StopSignal: parsed.text('stop-signal') } : {}),
    ...(parsed.has('stop-timeout') ? { StopTimeout: parsed.number('stop-timeout') } : {}),
  }
}

function storageOptions(parsed: Parsed): Record<string, unknown> {
  const tmpfs = parsed.list('tmpfs').map((entry) => {
    const colon = entry.indexOf(':')
    return colon < 0 ? [entry, ''] : [entry.slice(0, colon), entry.slice(colon + 1)]
  })
  const volumes = parsed.list('volume').map(bindSource)
  return {
    Binds: volumes,
    Mounts: parsed.list('mount').map(parseMount),
    Tmpfs: Object.fromEntries(tmpfs) as Record<string, string>,
    VolumesFrom: parsed.list('volumes-from'),
    ReadonlyRootfs: parsed.flag('read-only'),
    ShmSize: bytes(parsed.text('shm-size'), 'shm-size'),
    LogConfig: {
      Type: parsed.text('log-driver') ?? '',
      Config: keyValues(parsed.list('log-opt'), 'log-opt'),
    },
    Devices: parsed.list('device').map(device),
    DeviceCgroupRules: parsed.list('device-cgroup-rule'),
  }
}

/** A relative source is taken from the working directory, as docker does for `./x`. */
function bindSource(volume: string): string {
  const [source, ...rest] = volume.split(':')
  if (rest.length === 0 || !source?.startsWith('.')) return volume
  return [resolve(source), ...rest].join(':')
}

function device(entry: string): { PathOnHost: string; PathInContainer: string; CgroupPermissions: string } {
  const [host = '', second, third] = entry.split(':')
  const isMode = (text: string): boolean => /^[rwm]+$/.test(text)
  if (third === undefined && second !== undefined && isMode(second))
    return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second }
  if (third !== undefined && !isMode(third))
    throw usageError(`invalid device mode "${third}" in --device ${entry}`)
  return { PathOnHost: host, PathInContainer: second ?? host, CgroupPermissions: third ?? 'rwm' }
}

function isolationOptions(parsed: Parsed): Record<string, unknown> {
  return {
    CapAdd: parsed.list('cap-add'),
    CapDrop: parsed.list('cap-drop'),
    Privileged: parsed.flag('privileged'),
    SecurityOpt: securityOptions(parsed.list('security-opt')),
    Sysctls: keyValues(parsed.list('sysctl'), 'sysctl'),
    GroupAdd: parsed.list('group-add'),
    PidMode: parsed.text('pid') ?? '',
    IpcMode: parsed.text('ipc') ?? '',
    UTSMode: parsed.text('uts') ?? '',
    UsernsMode: parsed.text('userns') ?? '',
    CgroupnsMode: parsed.text('cgroupns') ?? '',
    ...(parsed.has('time') ? { TimeMode: parsed.text('time') } : {}),
    ...(parsed.has('time-offset') ? { TimeOffsets: timeOffsets(parsed.list('time-offset')) } : {}),
    CgroupParent: parsed.text('cgroup-parent') ?? '',
    ...(parsed.has('init') ? { Init: parsed.flag('init') } : {}),
    Annotations: keyValues(parsed.list('annotation'), 'annotation'),
  }
}

function resourceOptions(parsed: Parsed): Record<string, unknown> {
  const swap = parsed.text('memory-swap')
  return {
    Memory: bytes(parsed.text('memory'), 'memory'),
    MemoryReservation: bytes(parsed.text('memory-reservation'), 'memory-reservation'),
    MemorySwap: swap === '-1' ? -1 : bytes(swap, 'memory-swap'),
    ...(parsed.has('memory-swappiness') ? { MemorySwappiness: parsed.number('memory-swappiness') } : {}),
    NanoCpus: nanoCpus(parsed.text('cpus')),
    CpuShares: parsed.number('cpu-shares') ?? 0,
    CpuPeriod: parsed.number('cpu-period') ?? 0,
    CpuQuota: parsed.number('cpu-quota') ?? 0,
    CpusetCpus: parsed.text('cpuset-cpus') ?? '',
    CpusetMems: parsed.text('cpuset-mems') ?? '',
    ...(parsed.has('pids-limit') ? { PidsLimit: parsed.number('pids-limit') } : {}),
    BlkioWeight: parsed.number('blkio-weight') ?? 0,
    OomScoreAdj: parsed.number('oom-score-adj') ?? 0,
    ...(parsed.has('oom-kill-disable') ? { OomKillDisable: parsed.flag('oom-kill-disable') } : {}),
    Ulimits: parsed.list('ulimit').map(ulimit),
  }
}

function networkOptions(parsed: Parsed): Record<string, unknown> {
  return {
    PortBindings: publishedPorts(parsed.list('publish')),
    PublishAllPorts: parsed.flag('publish-all'),
    Dns: parsed.list('dns'),
    DnsOptions: [...parsed.list('dns-option'), ...parsed.list('dns-opt')],
    DnsSearch: parsed.list('dns-search'),
    ExtraHosts: parsed.list('add-host'),
  }
}

function endpoint(parsed: Parsed, network: string): Record<string, unknown> {
  const [ipv4, ipv6, mac] = [parsed.text('ip'), parsed.text('ip6'), parsed.text('mac-address')]
  const aliases = parsed.list('network-alias')
  if (!ipv4 && !ipv6 && !mac && aliases.length === 0) return {}
  return {
    [network]: {
      ...(ipv4 || ipv6
        ? { IPAMConfig: { ...(ipv4 ? { IPv4Address: ipv4 } : {}), ...(ipv6 ? { IPv6Address: ipv6 } : {}) } }
        : {}),
      ...(mac ? { MacAddress: mac } : {}),
      ...(aliases.length > 0 ? { Aliases: aliases } : {}),
    },
  }
}

function restartPolicy(policy: string): { Name: string; MaximumRetryCount: number } {
  const [name = 'no', count] = policy.split(':')
  if (count !== undefined && !/^\d+$/.test(count))
    throw usageError(`invalid retry count in --restart ${policy}`)
  return { Name: name, MaximumRetryCount: Number(count ?? 0) }
}
