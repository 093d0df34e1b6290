/**
 * A caller without rights over the host: another user than root, or root of a user namespace. The plan is made for that
 * (`HostFacts.rootless`); here is what of the configuration it can't have, and what it can do without.
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hostFacts, isRootless } from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { OciConfig, OciProcess, PlanOptions } from '@holdfast/plan'
import type { Request } from './front-end/request.ts'

type Hierarchies = { mount: string; controllers: readonly string[] }[]

/** Throws HF_INVALID_CONFIG where only root could make it. */
export function refuseBeyondUser({ linux }: OciConfig): void {
  if (process.geteuid?.() === 0 || linux?.namespaces?.some(({ type }) => type === 'user')) return
  throw new HoldfastError(
    'HF_INVALID_CONFIG',
    'linux.namespaces: rootless container requires user namespaces',
    {
      hint: '`spec --rootless` writes such a configuration; or run it as root.',
      details: { path: 'linux.namespaces' },
    },
  )
}

/**
 * Where the container stays in its caller's cgroups: as with runc, it asks for none by name and for no limits, and the
 * caller may make none. Throws HF_INVALID_CONFIG for limits that could not be set; undefined: it gets one of its own.
 */
export function callersCgroups(config: OciConfig, id: string, request: Request): PlanOptions['cgroups'] {
  const { linux } = config
  const tolerant = request.rootless === 'true' || (request.rootless === 'auto' && isRootless())
  if (!tolerant || linux?.cgroupsPath) return undefined
  const hierarchies = ownHierarchies()
  if (hierarchies.every(({ mount }) => mayMake(join(mount, id)))) return undefined
  for (const [name, limit] of Object.entries(linux?.resources ?? {}))
    if (name !== 'devices' && asksFor(limit))
      throw new HoldfastError(
        'HF_INVALID_CONFIG',
        `linux.resources.${name}: cannot set ${name} limit: container could not join or create cgroup`,
        { details: { path: `linux.resources.${name}` } },
      )
  const lines = readFileSync(`/proc/${request.pid}/cgroup`, 'latin1').trim().split('\n')
  return { within: Object.fromEntries(hierarchies.map((each) => [each.mount, memberOf(each, lines)])) }
}

function ownHierarchies(): Hierarchies {
  const { cgroup } = hostFacts()
  return cgroup.version === 1 ? cgroup.hierarchies : [{ mount: cgroup.mount, controllers: [] }]
}

function mayMake(path: string): boolean {
  if (!existsSync(path)) return mayMake(dirname(path))
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS')) return false
    throw error
  }
}

function asksFor(limit: unknown): boolean {
  if (typeof limit !== 'object' || limit === null) return false
  return Object.values(limit).some((value) => (Array.isArray(value) ? value.length > 0 : value !== undefined))
}

/** Lines of /proc/PID/cgroup: number, controllers, path; the v2 tree's has no controllers (cgroups(7)). */
function memberOf({ mount, controllers }: Hierarchies[number], lines: readonly string[]): string {
  const path = lines
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line) ?? [])
    .find(([, names]) => names === controllers.join(','))?.[2]
  // Seen from a cgroup namespace, or through a mount of a part, it may lie elsewhere.
  return path === undefined || path === '/' || !existsSync(mount + path) ? '' : path
}

/** The process as its caller may have it. */
export function withRightsOf(
  request: Request,
  process: OciProcess,
  warn: (text: string) => void,
): OciProcess {
  return isRootless() ? withoutOwnOomScore(withoutGroups(process, warn), request) : process
}

/**
 * Where the kernel lets nobody change groups (/proc/PID/setgroups), and so for its children: as with runc, root of such a user
 * namespace has no others, and a plain user is told so by the launch.
 */
function withoutGroups(process: OciProcess, warn: (text: string) => void): OciProcess {
  const { user } = process
  if (!user?.additionalGids?.length || globalThis.process.geteuid?.() !== 0) return process
  if (readFileSync('/proc/self/setgroups', 'latin1').trim() !== 'deny') return process
  warn('process.user.additionalGids has no effect: setgroups(2) is denied in this user namespace')
  return { ...process, user: { ...user, additionalGids: [] } }
}

/** Nobody but the host's root may lower it; what the caller has anyway need not be written. */
function withoutOwnOomScore(process: OciProcess, { pid }: Request): OciProcess {
  if (process.oomScoreAdj === undefined) return process
  const own = Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'latin1'))
  if (own !== process.oomScoreAdj) return process
  const { oomScoreAdj: _same, ...rest } = process
  return rest
}
