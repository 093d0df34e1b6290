import { peerCredentials, socketHandleFd } from '@holdfast/core'
import type { Socket } from 'node:net'

/** Who may connect. */
export interface PeerRule {
  /** The group that owns the socket file: its members pass the kernel's check of the file's mode. */
  group: number | undefined
}

/** uid of the process that connected, as the kernel recorded it at connect(2). */
export function peerUid(socket: Socket): number {
  return peerCredentials(socketHandleFd(socket)).uid
}

/**
 * Root and this process's own user are let in. Others come no further than the file's mode lets them, unless a group was
 * given: SO_PEERCRED doesn't show supplementary groups, so there the kernel's check at connect(2) is the one that counts.
 */
export function mayConnect(uid: number, rule: PeerRule): boolean {
  if (uid === 0 || uid === process.geteuid?.()) return true
  return rule.group !== undefined
}
