/** Published ports that the kernel can't translate, or not all of: the container's shim relays them. */
import { HoldfastError } from '@holdfast/errors'
import type { Attachment } from '@holdfast/network'
import type { RelaySpec } from '@holdfast/protocol'
import type { LiveShim } from '../container.ts'

/** HF_PORT_IN_USE where somebody has taken a port since it was looked at; nothing is relayed then. */
export async function serveRelays(shim: LiveShim, attachment: Attachment): Promise<void> {
  const relays = relaysOf(attachment)
  if (relays.length > 0) await shim.client.request('relays.set', { relays })
}

/** To the container's address of the same family, or else to the one that it has. */
export function relaysOf({ ports, addresses }: Pick<Attachment, 'ports' | 'addresses'>): RelaySpec[] {
  return ports
    .filter(({ relay }) => relay)
    .map(({ protocol, hostIp, hostPort, containerPort }) => {
      if (protocol === 'sctp') {
        throw new HoldfastError('HF_UNSUPPORTED', `sctp ports cannot be published on ${hostIp}`, {
          hint: 'The kernel does not translate this address, and sctp is not relayed: use an address of the network’s family.',
          details: { field: 'HostConfig.PortBindings' },
        })
      }
      const isV6 = hostIp.includes(':')
      const target = addresses.find(({ address }) => address.includes(':') === isV6) ?? addresses[0]!
      return {
        protocol,
        listen: { address: hostIp, port: hostPort },
        target: { address: target.address, port: containerPort },
      }
    })
}
