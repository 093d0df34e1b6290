/** An exec's process, drawn from the container's own: what `docker exec` inherits and what it may change. */
import { HoldfastError } from '@holdfast/errors'
import { probeHost } from '@holdfast/core'
import { capabilityNames, readProcess, resolveUser, type OciProcess, type ResolvedUser } from '@holdfast/plan'
import type { ExecSpec } from '@holdfast/protocol'
import { readContainerFile } from '../container-files.ts'
import { execRefusal } from './exec-refusal.ts'

/** `root`: the container's root directory. Throws HF_COMMAND_NOT_EXECUTABLE for a user that isn't there. */
export function execProcess(spec: ExecSpec, own: OciProcess, root: number): OciProcess {
  const passwd = spec.user === '' ? null : readContainerFile(root, 'etc/passwd')
  const user = spec.user === '' ? undefined : lookUp(spec.user, passwd, root)
  const uid = user?.uid ?? own.user?.uid ?? 0
  const [height, width] = spec.consoleSize ?? [0, 0]
  return readProcess(
    {
      ...(own.rlimits && { rlimits: own.rlimits }),
      ...(own.oomScoreAdj !== undefined && { oomScoreAdj: own.oomScoreAdj }),
      ...(own.scheduler && { scheduler: own.scheduler }),
      ...(own.ioPriority && { ioPriority: own.ioPriority }),
      ...(own.execCPUAffinity && { execCPUAffinity: own.execCPUAffinity }),
      terminal: spec.tty,
      ...(spec.tty && spec.consoleSize && { consoleSize: { height, width } }),
      user: {
        uid,
        gid: user?.gid ?? own.user?.gid ?? 0,
        additionalGids: user?.groups ?? own.user?.additionalGids ?? [],
        ...(own.user?.umask !== undefined && { umask: own.user.umask }),
      },
      args: spec.args,
      env: environment(spec, own, user, root),
      cwd: spec.cwd ?? own.cwd,
      capabilities: capabilities(spec, own, uid),
      noNewPrivileges: own.noNewPrivileges === true && !spec.privileged,
    },
    'process',
  )
}

/**
 * The same of one that differs from `alike` in its arguments and environment alone, which `spec` was checked for; it has
 * the container's own user.
 */
export function likeProcess(alike: OciProcess, spec: ExecSpec, own: OciProcess, root: number): OciProcess {
  return { ...alike, args: spec.args, env: environment(spec, own, undefined, root) }
}

function lookUp(user: string, passwd: string | null, root: number): ResolvedUser {
  try {
    return resolveUser(user, passwd, readContainerFile(root, 'etc/group'))
  } catch (error) {
    throw execRefusal(error, undefined)
  }
}

/** A root user has all that the bounding set allows; another has none until it executes a file that grants some. */
function capabilities(spec: ExecSpec, own: OciProcess, uid: number): Record<string, string[]> {
  const bounding = spec.privileged
    ? capabilityNames(probeHost().capabilities)
    : (own.capabilities?.bounding ?? [])
  const held = uid === 0 ? bounding : []
  return { bounding: [...bounding], effective: [...held], permitted: [...held], inheritable: [], ambient: [] }
}

function environment(
  spec: ExecSpec,
  own: OciProcess,
  user: ResolvedUser | undefined,
  root: number,
): string[] {
  const variables = new Map<string, string>()
  for (const variable of [...(own.env ?? []), ...spec.env]) {
    const at = variable.indexOf('=')
    if (at === 0) throw badVariable(variable)
    if (at > 0) variables.set(variable.slice(0, at), variable)
    else variables.delete(variable) // a name alone takes the variable away
  }
  if (spec.tty && !variables.has('TERM')) variables.set('TERM', 'TERM=xterm')
  if (
    user &&
    !spec.env.some((each) => each.startsWith('HOME=')) &&
    homeIsDefault(variables.get('HOME'), own, root)
  ) {
    variables.delete('HOME') // last, as docker has it
    variables.set('HOME', `HOME=${user.home}`)
  }
  return [...variables.values()]
}

/** Whether the container's HOME is but its own user's: then another user gets another one. */
function homeIsDefault(home: string | undefined, own: OciProcess, root: number): boolean {
  if (home === undefined) return true
  const uid = String(own.user?.uid ?? 0)
  return home === `HOME=${resolveUser(uid, readContainerFile(root, 'etc/passwd'), null).home}`
}

function badVariable(variable: string): HoldfastError {
  return new HoldfastError(
    'HF_BAD_REQUEST',
    `an environment variable must be NAME=VALUE: ${variable.slice(0, 64)}`,
    {
      details: { field: 'env' },
    },
  )
}
