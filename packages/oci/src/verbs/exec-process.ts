/** `exec ID COMMAND`: the container's own process with what the options change. */
import { HoldfastError } from '@holdfast/errors'
import { readProcess, type OciProcess } from '@holdfast/plan'
import { usage, type Options } from '../front-end/options.ts'

export function execProcess(own: OciProcess | undefined, args: string[], options: Options): OciProcess {
  if (!own)
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      'the container has no process to take the rest from: use --process',
    )
  const { value, list, on } = options
  const { terminal: _, consoleSize: __, ...rest } = own
  const caps = (list['cap'] ?? []).map((name) =>
    (name.startsWith('CAP_') ? name : `CAP_${name}`).toUpperCase(),
  )
  const process = {
    ...rest,
    args,
    terminal: on.has('tty'),
    cwd: value['cwd'] ?? own.cwd,
    env: [...(own.env ?? []), ...(list['env'] ?? [])],
    user: userOf(own, options),
    ...(on.has('no-new-privs') && { noNewPrivileges: true }),
    ...(value['apparmor'] !== undefined && { apparmorProfile: value['apparmor'] }),
    ...(value['process-label'] !== undefined && { selinuxLabel: value['process-label'] }),
    ...(caps.length > 0 && { capabilities: withCapabilities(own, caps) }),
  }
  // Read again, so that what the options say is checked like a configuration.
  return readProcess(process, 'process')
}

/**
 * What a `--process` file leaves out is the container's own, as with runc: rights, and what the kernel thinks of ending it
 * when memory is short. An engine's own score may be one that is never ended.
 */
export function withDefaults(process: OciProcess, own: OciProcess | undefined): OciProcess {
  const { capabilities, oomScoreAdj, selinuxLabel } = own ?? {}
  return {
    ...(capabilities && { capabilities }),
    ...(oomScoreAdj !== undefined && { oomScoreAdj }),
    ...process,
    ...(!process.selinuxLabel && selinuxLabel && { selinuxLabel }),
  }
}

/**
 * As runc since CVE-2022-29162: nothing becomes inheritable that wasn't, or a program with file capabilities would gain it. What
 * is ambient must be inheritable too.
 */
function withCapabilities({ capabilities }: OciProcess, added: string[]): object {
  const { bounding = [], effective = [], inheritable = [], permitted = [], ambient = [] } = capabilities ?? {}
  return {
    bounding: [...bounding, ...added],
    effective: [...effective, ...added],
    permitted: [...permitted, ...added],
    inheritable,
    ambient: [...ambient, ...added.filter((name) => inheritable.includes(name))],
  }
}

function userOf(own: OciProcess, options: Options): object {
  const gids = (options.list['additional-gids'] ?? []).map((text) => idOf(text, '--additional-gids'))
  const additionalGids = [...(own.user?.additionalGids ?? []), ...gids]
  const asked = options.value['user']
  if (asked === undefined) return { ...own.user, additionalGids }
  const [, uid = '', gid] = /^([^:]*)(?::(.*))?$/s.exec(asked) ?? []
  return {
    ...own.user,
    uid: idOf(uid, '--user'),
    gid: gid === undefined ? (own.user?.gid ?? 0) : idOf(gid, '--user'),
    additionalGids,
  }
}

function idOf(text: string, option: string): number {
  if (!/^\d{1,10}$/.test(text)) throw usage(`${option} takes numbers, not ${JSON.stringify(text)}`)
  return Number(text)
}
