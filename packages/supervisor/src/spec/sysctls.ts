import { checkSysctl } from '@holdfast/plan'
import { badRequest } from './refuse.ts'
import type { SpecInput } from './spec-input.ts'

/** Docker's two defaults for a network namespace of the container's own, and what was asked for. */
export function sysctlsOf(input: SpecInput): Record<string, string> {
  for (const [key, value] of Object.entries(input.hostConfig.Sysctls)) {
    const type = checkSysctl(key, value, `HostConfig.Sysctls.${key}`)
    if (input.namespaces[type] !== 'new')
      throw badRequest(
        'HostConfig.Sysctls',
        `sysctl '${key}' is not allowed: the container has no ${type} namespace of its own`,
      )
  }
  return { ...defaults(input), ...input.hostConfig.Sysctls }
}

function defaults({ namespaces, idRange }: SpecInput): Record<string, string> {
  if (namespaces.net !== 'new') return {}
  return {
    // Any user may bind port 80: there is nobody else in this namespace to protect.
    'net.ipv4.ip_unprivileged_port_start': '0',
    // Any group may send pings, without CAP_NET_RAW. Ids that the user namespace doesn't map are refused.
    'net.ipv4.ping_group_range': `0 ${idRange ? idRange.size - 1 : 2_147_483_647}`,
  }
}
