import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { HostProbe } from '@holdfast/core'

import { describeError, type Command } from '../command.ts'
import type { EngineClient } from '../engine-client.ts'
import { table } from '../render/table.ts'

interface Finding {
  check: string
  /** `missing` stops containers from working; `limited` names what is done without it. */
  state: 'ok' | 'limited' | 'missing'
  detail: string
  fix?: string
}

export const doctor: Command = {
  name: 'doctor',
  usage: '[OPTIONS]',
  summary: 'Show what this host can and can’t do for containers, each with its fix',
  arguments: [0, 0],
  flags: [
    { name: 'json', kind: 'boolean', help: 'As JSON' },
    { name: 'data-root', kind: 'string', value: 'DIR', default: '/var/lib', help: 'Where images will lie' },
  ],
  async run(context, parsed) {
    const findings = await examine(context.client, parsed.text('data-root') as string)
    if (parsed.flag('json')) context.print(JSON.stringify(findings, null, 2))
    else {
      const rows = findings.map(({ check, state, detail, fix }) => [
        mark(state, context.terminal),
        check,
        detail + (fix ? `. ${fix}` : ''),
      ])
      context.print(table(['', 'CHECK', 'FINDING'], rows))
    }
    return findings.some(({ state }) => state === 'missing') ? 1 : 0
  },
}

function mark(state: Finding['state'], colour: boolean): string {
  const [text, code] = { ok: ['ok', 32], limited: ['limited', 33], missing: ['MISSING', 31] }[state]
  return colour ? `\x1b[${code}m${text}\x1b[0m`.padEnd(16) : String(text)
}

async function examine(client: EngineClient, dataRoot: string): Promise<Finding[]> {
  if (process.getuid?.() !== 0) {
    return [
      {
        check: 'root',
        state: 'missing',
        detail: 'not running as root',
        fix: 'Run it as root: Holdfast makes namespaces, mounts and links.',
      },
    ]
  }
  // Loaded here: the other verbs start faster without the addon.
  const { canIdmap, probeHost } = await import('@holdfast/core')
  const { capabilityNames } = await import('@holdfast/plan')
  const host = probeHost()
  const mapsIds = host.userNamespaces && canIdmap(existsSync(dataRoot) ? dataRoot : '/')
  return [
    kernel(host),
    userNamespaces(host),
    ...idmaps(host, dataRoot, mapsIds),
    cgroups(host),
    ...rights(capabilityNames(host.capabilities)),
    ...features(host),
    ...(await network(client)),
  ]
}

function kernel({ kernel }: HostProbe): Finding {
  const check = 'kernel'
  const old = kernel.major < 6 || (kernel.major === 6 && kernel.minor < 1)
  return old
    ? { check, state: 'missing', detail: `Linux ${kernel.release}`, fix: 'Linux 6.1 or later is needed.' }
    : { check, state: 'ok', detail: `Linux ${kernel.release}` }
}

function userNamespaces(host: HostProbe): Finding {
  const check = 'user namespaces'
  if (host.userNamespaces) return { check, state: 'ok', detail: 'each container can have one of its own' }
  const limit = read('/proc/sys/user/max_user_namespaces')
  return {
    check,
    state: 'missing',
    detail: `can't be made (user.max_user_namespaces is ${limit})`,
    fix: 'Set sysctl user.max_user_namespaces=15000, or run containers with --userns=host.',
  }
}

function idmaps(host: HostProbe, dataRoot: string, works: boolean): Finding[] {
  if (!host.userNamespaces) return []
  const check = 'idmapped mounts'
  const overlay: Finding = host.overlayLowerFd
    ? { check: 'overlay', state: 'ok', detail: 'takes idmapped layers as descriptors' }
    : {
        check: 'overlay',
        state: 'limited',
        detail:
          'idmapped layers are attached in a private mount namespace and named by path (before Linux 6.15)',
      }
  return [
    works
      ? { check, state: 'ok', detail: `work on ${dataRoot}` }
      : {
          check,
          state: 'missing',
          detail: `the file system of ${dataRoot} can't map ids`,
          fix: 'Put --data-root on ext4, xfs, btrfs or tmpfs, or run containers with --userns=host.',
        },
    overlay,
  ]
}

function cgroups({ cgroup }: HostProbe): Finding {
  const check = 'cgroups'
  if (cgroup.version === 2) {
    const missing = ['cpu', 'memory', 'pids'].filter((controller) => !cgroup.controllers.includes(controller))
    return missing.length === 0
      ? { check, state: 'ok', detail: `v2 at ${cgroup.mount}: ${cgroup.controllers.join(' ')}` }
      : {
          check,
          state: 'limited',
          detail: `v2 without ${missing.join(', ')}`,
          fix: 'Enable them in cgroup.subtree_control of the root.',
        }
  }
  const controllers = cgroup.hierarchies.flatMap((hierarchy) => hierarchy.controllers)
  return {
    check,
    state: 'limited',
    detail: `v1: ${controllers.join(' ')}`,
    fix: 'v2 is the mode to run in production: boot with systemd.unified_cgroup_hierarchy=1.',
  }
}

function rights(capabilities: string[]): Finding[] {
  const needed = [
    'CAP_SYS_ADMIN',
    'CAP_NET_ADMIN',
    'CAP_SETUID',
    'CAP_SETGID',
    'CAP_CHOWN',
    'CAP_MKNOD',
    'CAP_DAC_OVERRIDE',
    'CAP_SYS_PTRACE',
  ]
  const missing = needed.filter((name) => !capabilities.includes(name))
  const first: Finding =
    missing.length === 0
      ? { check: 'capabilities', state: 'ok', detail: 'all that are needed' }
      : {
          check: 'capabilities',
          state: 'missing',
          detail: `without ${missing.join(', ')}`,
          fix: 'Start it where root has them.',
        }
  if (capabilities.includes('CAP_SYS_RESOURCE')) return [first]
  return [
    first,
    {
      check: 'CAP_SYS_RESOURCE',
      state: 'limited',
      detail:
        'missing: hard limits above the present ones and lower oom_score_adj are refused; --privileged grants what there is',
    },
  ]
}

function features(host: HostProbe): Finding[] {
  const feature = (check: string, there: boolean, without: string): Finding =>
    there ? { check, state: 'ok', detail: 'there' } : { check, state: 'limited', detail: without }
  return [
    feature('time namespaces', host.timeNamespaces, 'missing: containers share the host’s clocks'),
    feature(
      'PIDFD_INFO_EXIT',
      host.pidfdInfoExit,
      'missing before Linux 6.15: an exit that not even the keeper saw is recorded as unknown',
    ),
    feature('SO_PEERPIDFD', host.peerPidfd, 'missing before Linux 6.5: peers are known by pid alone'),
    feature('F_SEAL_EXEC', host.sealExec, 'missing before Linux 6.3: the launcher is sealed without it'),
  ]
}

/** The supervisor tries what a bridge needs, where it would make one; without one, a look from here has to do. */
async function network(client: EngineClient): Promise<Finding[]> {
  try {
    const diagnosis = await client.json<Diagnosis[]>('GET', '/holdfast/diagnosis')
    return diagnosis.map(({ check, ok, detail, fix }) => ({
      check,
      state: ok ? 'ok' : 'limited',
      detail,
      ...(fix === '' ? {} : { fix }),
    }))
  } catch (error) {
    const supervisor: Finding = {
      check: 'supervisor',
      state: 'limited',
      detail: describeError(error).replace(/\n.*/s, ''),
    }
    return [supervisor, ...networkFromHere()]
  }
}

interface Diagnosis {
  check: string
  ok: boolean
  detail: string
  fix: string
}

function networkFromHere(): Finding[] {
  const nft = onPath('nft')
  const forwarding = read('/proc/sys/net/ipv4/ip_forward')
  return [
    nft
      ? { check: 'nftables', state: 'ok', detail: nft }
      : {
          check: 'nftables',
          state: 'missing',
          detail: 'nft is not on the PATH',
          fix: 'apt-get install nftables, or use --network none or host.',
        },
    forwarding === '1'
      ? { check: 'IPv4 forwarding', state: 'ok', detail: 'on' }
      : {
          check: 'IPv4 forwarding',
          state: 'limited',
          detail: 'off; the supervisor switches it on with its first bridge',
        },
    existsSync('/proc/sys/net/ipv6')
      ? { check: 'IPv6', state: 'ok', detail: 'there' }
      : { check: 'IPv6', state: 'limited', detail: 'not in this kernel: networks are IPv4 only' },
  ]
}

function onPath(program: string): string | undefined {
  const directories = ['/usr/sbin', '/sbin', ...(process.env['PATH'] ?? '').split(':')]
  return directories
    .map((directory) => join(directory, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : 'missing'
}
