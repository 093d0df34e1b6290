/** TCP inside another network namespace: Node's own sockets over descriptors that were opened there. */
import { createServer, Socket, connect as connectHere, type Server } from 'node:net'
import { closeFd } from './descriptor.ts'
import { openSocketIn } from './socket.ts'

/** Where a tcp socket listens, or connects to. */
export interface StreamPlace {
  /** Descriptor of the network namespace; absent: our own. */
  netns?: number | undefined
  /** Numeric. */
  address: string
  port: number
  /** IP_FREEBIND, for a listener: the address need not be there yet. */
  freebind?: boolean
}

/** A listening socket that is there already, with who waits to be accepted. It is taken over. */
export interface ListenerDescriptor {
  fd: number
}

/** Node's server, with its descriptor. */
export type ListeningServer = Server & {
  /** It stays the server's. */
  readonly fd: number
}

const backlog = 511

/**
 * Listens; both directions of a connection end for themselves. Throws SyscallError where the address is taken or not
 * there. `onConnection` gets the socket, which reports its errors as Node's do.
 */
export function listenIn(
  place: StreamPlace | ListenerDescriptor,
  onConnection: (socket: Socket) => void,
): ListeningServer {
  const fd = 'fd' in place ? place.fd : openListener(place)
  const server = createServer({ allowHalfOpen: true }, onConnection)
  server.listen({ fd })
  return Object.assign(server, { fd })
}

function openListener({ netns, address, port, freebind = false }: StreamPlace): number {
  return openSocketIn(netns, {
    family: familyOf(address),
    type: 'stream',
    bind: { address, port },
    reuse: true, // beside connections of an earlier listener in TIME-WAIT
    freebind,
    listen: backlog,
  })
}

/** A connection that is being made: what is written waits for it; a failure is the socket's 'error'. */
export function connectIn({ netns, address, port }: StreamPlace): Socket {
  if (netns === undefined) return connectHere({ host: address, port, allowHalfOpen: true })
  const fd = openSocketIn(netns, { family: familyOf(address), type: 'stream', connect: { address, port } })
  try {
    return new Socket({ fd, allowHalfOpen: true, readable: true, writable: true })
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function familyOf(address: string): 'inet' | 'inet6' {
  return address.includes(':') ? 'inet6' : 'inet'
}
