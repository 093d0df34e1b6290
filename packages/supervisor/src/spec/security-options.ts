/** `--security-opt`. */
import { badRequest, unsupported } from './refuse.ts'
import type { HostConfig } from '../engine/container-config.ts'

export interface SecurityOptions {
  noNewPrivileges: boolean
  /** A profile of the user's own: the parsed JSON. */
  seccomp: 'default' | 'unconfined' | { profile: unknown }
}

const field = 'HostConfig.SecurityOpt'

export function securityOptions(host: HostConfig): SecurityOptions {
  const result: SecurityOptions = {
    noNewPrivileges: false,
    seccomp: host.Privileged ? 'unconfined' : 'default',
  }
  for (const option of host.SecurityOpt) apply(result, option)
  return result
}

function apply(result: SecurityOptions, option: string): void {
  // "=" is today's separator, ":" yesterday's.
  const [, name = option, value] = /^([a-z-]+)[=:](.*)$/s.exec(option) ?? []
  if (name === 'no-new-privileges') result.noNewPrivileges = booleanOf(value, option)
  else if (name === 'seccomp' && value) result.seccomp = seccompOf(value)
  else if (name === 'apparmor' && value) {
    if (value !== 'unconfined') throw unsupported(field, `${option}: no support for AppArmor is built in`)
  } else if (name === 'label' && value) {
    if (value !== 'disable') throw unsupported(field, `${option}: no support for SELinux is built in`)
  } else if (name === 'writable-cgroups' && value === 'false') return
  else if (name === 'writable-cgroups' && value)
    throw unsupported(field, `${option}: containers see their cgroup read-only`)
  else throw badRequest(field, `invalid --security-opt: "${option}"`)
}

function booleanOf(value: string | undefined, option: string): boolean {
  if (value === undefined || value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw badRequest(field, `invalid --security-opt: "${option}"`)
}

function seccompOf(value: string): SecurityOptions['seccomp'] {
  if (value === 'unconfined') return 'unconfined'
  if (value === 'builtin') return 'default'
  try {
    return { profile: JSON.parse(value) as unknown }
  } catch (error) {
    throw badRequest(field, `Decoding seccomp profile failed: ${(error as Error).message}`)
  }
}
