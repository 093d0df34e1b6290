/** What the container may not see and may not do: masks, capabilities, no_new_privs, seccomp. */
import type { OciCapabilities, OciProcess } from './config/process.ts'
import type { Container } from './container.ts'
import type { HostFacts } from './plan.ts'
import type { SeccompProfile, Step } from './step.ts'
import { allCapabilities, capabilityNames } from './config/capability-names.ts'
import { normalize } from './paths.ts'

/** After the pivot: the paths are the container's, and everything that should lie beneath them is mounted. */
export function hidePaths({ config }: Container): Step[] {
  const { readonlyPaths = [], maskedPaths = [] } = config.linux ?? {}
  return [
    ...readonlyPaths.map((each, index): Step => {
      const path = normalize(each)
      const field = `linux.readonlyPaths[${index}]`
      // What is mounted over the root is not what `/` leads to.
      if (path === '/') return { do: 'root-attributes', set: { readonly: true }, field }
      return { do: 'readonly-path', path, field }
    }),
    // Last: a mask covers a read-only bind.
    ...maskedPaths.map((path, index): Step => ({
      do: 'mask',
      path: normalize(path),
      field: `linux.maskedPaths[${index}]`,
    })),
  ]
}

/**
 * From root of the container to its user, in the one order that works:
 * - the bounding set while CAP_SETPCAP is there, the user while CAP_SETUID and CAP_SETGID are;
 * - without no_new_privs a filter can only be loaded with CAP_SYS_ADMIN, so before capabilities go, and it then has
 *   to allow what comes after it; with no_new_privs it is loaded last and sees nothing but the program.
 */
export function dropPrivileges(
  process: OciProcess,
  seccomp: SeccompProfile | undefined,
  host: HostFacts,
  warnings: string[],
): Step[] {
  const filter: Step[] = seccomp && filters(seccomp) ? [{ do: 'seccomp', profile: seccomp }] : []
  const { bounding, ...sets } = grantable(process.capabilities ?? {}, host, warnings)
  const { uid = 0, gid = 0, additionalGids = [] } = process.user ?? {}
  const noNewPrivileges = process.noNewPrivileges === true
  return [
    ...(noNewPrivileges ? [] : filter),
    { do: 'bounding-set', keep: bounding },
    { do: 'user', uid, gid, groups: [...new Set(additionalGids)], ...(host.rootless && { rootless: true }) },
    { do: 'capabilities', ...sets },
    ...(noNewPrivileges ? [{ do: 'no-new-privileges' as const }, ...filter] : []),
  ]
}

/** A profile that allows everything is no filter. */
function filters({ defaultAction, syscalls }: SeccompProfile): boolean {
  return defaultAction !== 'SCMP_ACT_ALLOW' || (syscalls?.length ?? 0) > 0
}

/**
 * config.md asks for a warning, not a failure, where a capability can't be granted. The kernel's own rules are kept
 * ahead of it: effective within permitted, ambient within permitted and inheritable (capabilities(7)).
 */
function grantable(
  asked: OciCapabilities,
  host: HostFacts,
  warnings: string[],
): Record<'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient', string[]> {
  const known = new Set(capabilityNames(host.capabilities))
  const within = (set: keyof OciCapabilities, why: string, ...limits: Set<string>[]): string[] =>
    [...new Set(asked[set])].filter((name) => {
      const granted = limits.every((limit) => limit.has(name))
      if (!granted)
        warnings.push(
          `process.capabilities.${set}: ${name} is left out: ${known.has(name) ? why : lacking(name)}`,
        )
      return granted
    })
  const bounding = within('bounding', '', known)
  const permitted = within('permitted', '', known)
  const inheritable = within('inheritable', '', known)
  const effective = within('effective', 'it is not permitted', new Set(permitted))
  const both = 'it is not both permitted and inheritable'
  const ambient = within('ambient', both, new Set(permitted), new Set(inheritable))
  return { bounding, effective, permitted, inheritable, ambient }
}

function lacking(name: string): string {
  return allCapabilities.includes(name) ? 'this host cannot grant it' : 'Linux has none of this name'
}
