/** The sockets that a resolver listens on, and the redirect that leads to them from where it is asked. */
import { SyscallError } from '@holdfast/errors'
import { redirectBatch } from './port-redirect.ts'
import type { ByteStream, Datagrams, DnsSockets, StreamServer } from './sockets.ts'

export interface ListeningOptions {
  sockets: DnsSockets
  netns: number
  address: string
  port: number
}

export interface ListeningHandlers {
  onMessage: (message: Uint8Array, peer: Uint8Array) => void
  onStream: (stream: ByteStream) => void
  onProblem: (message: string) => void
}

export interface Listening {
  datagrams: Datagrams
  close(): void
}

/** Above what Linux gives to who asks for any port (net.ipv4.ip_local_port_range ends at 60999). */
const firstPort = 61_000
const ports = 65_536 - firstPort
const attempts = 16
const dns = 53

/** Throws SyscallError: EADDRINUSE where another resolver answers at the address, or something listens there. */
export function openListening(options: ListeningOptions, handlers: ListeningHandlers): Listening {
  const { sockets, address, port } = options
  if (!sockets.openNetfilterIn || port !== dns || address.includes(':')) return openAt(options, handlers)
  try {
    return openBeside(options, handlers)
  } catch (error) {
    const code = codeOf(error)
    // EPERM: of another owner. Nobody would ask at port 53 itself, as that one's rules lead elsewhere.
    if (code === 'EEXIST' || code === 'EPERM') throw taken(address)
    handlers.onProblem(
      `nftables cannot lead port 53 of ${address} elsewhere (${code}): it is taken, and nothing in there can listen on port 53 of all addresses`,
    )
    return openAt(options, handlers)
  }
}

/** On another port, with a redirect. */
function openBeside(options: ListeningOptions, handlers: ListeningHandlers): Listening {
  const { sockets, netns, address, port } = options
  const netfilter = sockets.openNetfilterIn!(netns)
  try {
    const { listening, to } = openSomewhere(options, handlers)
    try {
      netfilter.apply(redirectBatch({ address, port, to }))
    } catch (error) {
      listening.close()
      throw error
    }
    return {
      datagrams: listening.datagrams,
      close() {
        netfilter.close() // first: nobody is to be led to a port that is somebody else's by then
        listening.close()
      },
    }
  } catch (error) {
    netfilter.close()
    throw error
  }
}

function openSomewhere(
  options: ListeningOptions,
  handlers: ListeningHandlers,
): { listening: Listening; to: number } {
  const drawn = crypto.getRandomValues(new Uint16Array(attempts))
  for (const [attempt, number] of drawn.entries()) {
    const to = firstPort + (number % ports)
    try {
      return { listening: openAt({ ...options, port: to }, handlers), to }
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE' || attempt === attempts - 1) throw error
    }
  }
  throw taken(options.address)
}

function openAt({ sockets, netns, address, port }: ListeningOptions, handlers: ListeningHandlers): Listening {
  const datagrams = sockets.openDatagrams(
    { netns, bind: { address, port }, freebind: true },
    {
      onMessage: handlers.onMessage,
      onError: (code) => handlers.onProblem(`receiving a question: ${code}`),
    },
  )
  let listener: StreamServer
  try {
    listener = sockets.listenIn({ netns, address, port, freebind: true }, handlers.onStream)
    listener.on('error', (error) => handlers.onProblem(`listening: ${error.message}`))
  } catch (error) {
    datagrams.close()
    throw error
  }
  return {
    datagrams,
    close() {
      datagrams.close()
      listener.close()
    },
  }
}

function taken(address: string): SyscallError {
  return new SyscallError({
    errno: 98,
    code: 'EADDRINUSE',
    syscall: 'bind',
    path: `${address}:${dns}`,
    hint: 'Another resolver answers there, or CAP_NET_ADMIN over the network namespace is missing.',
  })
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error)
}
