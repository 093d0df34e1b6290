import type { Socket } from 'node:net'
import { closeFd, peerCredentials, pidfdOpen, pidfdSendSignal, socketHandleFd } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'

/**
 * Kills the process that listens at the other end of a unix socket. Only while the connection stands is the pid that the
 * kernel noted at listen(2) known to be its own.
 */
export function killPeer(socket: Socket): void {
  if (socket.destroyed || socket.connecting) return
  try {
    const pidfd = pidfdOpen(peerCredentials(socketHandleFd(socket)).pid)
    try {
      pidfdSendSignal(pidfd, 'SIGKILL')
    } finally {
      closeFd(pidfd)
    }
  } catch (error) {
    // It has ended by itself; or descriptors have run out, and whoever connects to it next tries this again.
    if (!hasCode(error, 'ESRCH', 'EMFILE', 'ENFILE')) throw error
  }
}
