/**
 * Published ports on addresses of the host that the kernel can't translate to the container: [::1], and those of a
 * family that the network lacks. Here a connection is accepted, and another one made to the container, from the host's
 * network: the container sees the gateway's address, as for a port that is translated from 127.0.0.1. (From inside the
 * container's own network it would see its own address, which some programs trust.)
 */
import type { Socket } from 'node:net'
import { connectIn, listenIn, openDatagrams, type DatagramSocket } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { RelaySpec } from '@holdfast/protocol'

/** Connections of a port at once; each costs two descriptors. */
const mostConnections = 1024
/** Clients of a udp port at once, each with a socket; the one that came first gives way. */
const mostFlows = 1024
/** A client that has been silent for so long has a new socket the next time. What docker-proxy takes. */
const flowIdleMs = 90_000

export interface Relay {
  readonly spec: RelaySpec
  /** Of the socket that listens. It stays the relay's. */
  readonly fd: number
  /** Ends what goes through it, too. */
  close(): void
}

/**
 * `inherited`: the descriptor that an earlier relay of this port listened on, or a duplicate; it is taken over, with who
 * waits there. Throws HF_PORT_IN_USE, or HF_BAD_REQUEST where the address is not the host's.
 */
export function openRelay(spec: RelaySpec, inherited?: number): Relay {
  try {
    return spec.protocol === 'tcp' ? openTcp(spec, inherited) : openUdp(spec, inherited)
  } catch (error) {
    throw notOpened(spec, error)
  }
}

function openTcp(spec: RelaySpec, inherited: number | undefined): Relay {
  const sockets = new Set<Socket>()
  const place = inherited === undefined ? spec.listen : { fd: inherited }
  const server = listenIn(place, (client) => {
    const container = connectIn(spec.target)
    join(client, container)
    for (const socket of [client, container]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
  })
  server.maxConnections = mostConnections
  server.on('error', () => {}) // no descriptor left for one that came: it has been told by its end
  return {
    spec,
    fd: server.fd,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Each direction ends for itself; what breaks on one side is broken off on the other. */
function join(client: Socket, container: Socket): void {
  for (const [from, to] of [
    [client, container],
    [container, client],
  ] as const) {
    from.setNoDelay(true)
    from.pipe(to)
    from.on('error', () => to.resetAndDestroy())
    // Closed without an end or an error of its own: somebody here destroyed it.
    from.once('close', () => from.readableEnded || to.destroy())
  }
}

interface Flow {
  socket: DatagramSocket
  usedAt: number
}

function openUdp(spec: RelaySpec, inherited: number | undefined): Relay {
  const flows = new Map<string, Flow>()
  const end = (key: string) => {
    flows.get(key)?.socket.close()
    flows.delete(key)
  }
  const listener = openDatagrams(inherited === undefined ? { bind: spec.listen } : { fd: inherited }, {
    onMessage: (message, peer) => {
      const key = String.fromCharCode(...peer)
      const flow = flows.get(key) ?? begin(key, peer.slice())
      if (!flow) return
      flow.usedAt = performance.now()
      flow.socket.send(message)
    },
    onError: () => {}, // about an answer that a client did not wait for
  })
  const begin = (key: string, peer: Uint8Array): Flow | undefined => {
    const [first] = flows.keys()
    if (flows.size >= mostFlows && first !== undefined) end(first)
    const onMessage = (message: Uint8Array) => {
      listener.send(message, peer)
      const flow = flows.get(key)
      if (flow) flow.usedAt = performance.now()
    }
    try {
      const socket = openDatagrams({ connect: spec.target }, { onMessage, onError: () => {} })
      const flow: Flow = { socket, usedAt: 0 }
      flows.set(key, flow)
      return flow
    } catch (error) {
      if (hasCode(error, 'EMFILE', 'ENFILE', 'ENETUNREACH', 'EHOSTUNREACH')) return undefined // a lost datagram
      throw error
    }
  }
  const sweep = setInterval(() => {
    const now = performance.now()
    for (const [key, { usedAt }] of flows) if (now - usedAt > flowIdleMs) end(key)
  }, flowIdleMs / 3)
  return {
    spec,
    fd: listener.fd,
    close: () => {
      clearInterval(sweep)
      listener.close()
      for (const key of flows.keys()) end(key)
    },
  }
}

function notOpened({ protocol, listen: { address, port } }: RelaySpec, cause: unknown): unknown {
  const shown = `${address.includes(':') ? `[${address}]` : address}:${port}/${protocol}`
  const details = { protocol, hostIp: address, port }
  if (hasCode(cause, 'EADDRINUSE'))
    return new HoldfastError('HF_PORT_IN_USE', `port ${shown} is in use`, { cause, details })
  if (hasCode(cause, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) {
    const message = `cannot publish a port on ${address}: it is no address of this host`
    return new HoldfastError('HF_BAD_REQUEST', message, { cause, details })
  }
  return cause
}
