/** The host forwards what containers send. To be called inside the host's network namespace. */
import type { Family } from './address.ts'
import { listSysctls, readSysctl, writeSysctl } from './netns.ts'

/** `bridge`: a link of ours, whose settings are made elsewhere. */
export function enableForwarding(families: Family[], bridge: string): void {
  if (families.includes(4)) writeSysctl('ipv4/ip_forward', '1')
  if (families.includes(6)) enableIpv6Forwarding(bridge)
}

/**
 * A forwarding host ignores router advertisements unless told otherwise: its own default route may depend on
 * them.
 */
function enableIpv6Forwarding(bridge: string): void {
  if (readSysctl('ipv6/conf/all/forwarding') === '1') return
  for (const link of listSysctls('ipv6/conf')) {
    if (link !== bridge && readSysctl(`ipv6/conf/${link}/accept_ra`) === '1') {
      writeSysctl(`ipv6/conf/${link}/accept_ra`, '2', true)
    }
  }
  writeSysctl('ipv6/conf/all/forwarding', '1')
}
