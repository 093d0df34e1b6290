/** Hands a seccomp notification descriptor to the agent that the configuration names (config-linux.md#seccomp). */
import { once } from 'node:events'
import { HoldfastError } from '@holdfast/errors'
import { closeFd, sendMessage, socketHandleFd } from '@holdfast/core'
import { ociState, type OciBundle } from '../bundle.ts'

/** Closes `listener`. Throws HF_START_FAILED where nobody listens: every call that notifies would wait for ever. */
export async function handOverListener(bundle: OciBundle, listener: number, pid: number): Promise<void> {
  const { listenerPath = '', listenerMetadata } = bundle.config.linux?.seccomp ?? {}
  const { connect } = await import('node:net') // few containers have one, and every program would load it
  const socket = connect(listenerPath)
  try {
    await once(socket, 'connect')
    // ContainerProcessState: the names in `fds` stand for the descriptors of the message, in order.
    const state = {
      ociVersion: bundle.config.ociVersion,
      fds: ['seccompFd'],
      pid,
      state: ociState(bundle, 'creating', pid),
      ...(listenerMetadata !== undefined && { metadata: listenerMetadata }),
    }
    const text = Buffer.from(JSON.stringify(state))
    const sent = sendMessage(socketHandleFd(socket), text, [listener])
    if (sent !== text.length) throw new Error('the agent does not take the message')
  } catch (cause) {
    throw new HoldfastError(
      'HF_START_FAILED',
      `linux.seccomp.listenerPath: failed to connect with seccomp agent: ${(cause as Error).message}`,
      {
        cause,
        details: { step: 'seccomp', path: listenerPath },
      },
    )
  } finally {
    closeFd(listener)
    socket.destroy()
  }
}
