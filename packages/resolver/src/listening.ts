/** The sockets that a resolver listens on, and the redirect that leads to them from where it is asked. */
import { SyscallError } from '@holdfast/errors'
import type { ByteStream, Datagrams, DnsSockets, OpenPortRedirect } from './sockets.ts'

export interface ListeningOptions {
  sockets: DnsSockets
  netns: number
  address: string
  port: number
  inherited?: (() => ListeningDescriptors | undefined) | undefined
}

/** What a server listens on. Whoever has duplicates of them can go on with what waits there once it is gone. */
export interface ListeningDescriptors {
  datagrams: number
  listener: number
  /** Of the socket that owns the redirect; absent where there is none. */
  redirect?: number
}

export interface ListeningHandlers {
  onMessage: (message: Uint8Array, peer: Uint8Array) => void
  onStream: (stream: ByteStream) => void
  onProblem: (message: string) => void
}

export interface Listening {
  datagrams: Datagrams
  /** Undefined where the sockets have none. */
  descriptors: ListeningDescriptors | undefined
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
  const inherited = options.inherited?.()
  if (inherited) return takeOver(options, inherited, handlers)
  if (!sockets.openPortRedirectIn || port !== dns || address.includes(':')) return openAt(options, handlers)
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
  const { listening, to } = openSomewhere(options, handlers)
  try {
    const redirect = { table: `holdfast-${address}`, address, port, to }
    return redirected(listening, sockets.openPortRedirectIn!(netns, redirect))
  } catch (error) {
    listening.close()
    throw error
  }
}

function redirected(listening: Listening, redirect: OpenPortRedirect): Listening {
  const { datagrams, descriptors } = listening
  return {
    datagrams,
    descriptors:
      descriptors && redirect.fd !== undefined ? { ...descriptors, redirect: redirect.fd } : undefined,
    close() {
      redirect.close() // first: nobody is to be led to a port that is somebody else's by then
      listening.close()
    },
  }
}

/** What an earlier server listened on, with the questions that wait there, and the redirect that leads to it. */
function takeOver(
  { sockets, netns }: ListeningOptions,
  inherited: ListeningDescriptors,
  handlers: ListeningHandlers,
): Listening {
  const redirect =
    inherited.redirect === undefined
      ? undefined
      : sockets.openPortRedirectIn!(netns, { fd: inherited.redirect })
  try {
    const listening = listenOn(sockets, [{ fd: inherited.datagrams }, { fd: inherited.listener }], handlers)
    return redirect ? redirected(listening, redirect) : listening
  } catch (error) {
    redirect?.close()
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
  const freebind = true
  const datagrams = { netns, bind: { address, port }, freebind }
  return listenOn(sockets, [datagrams, { netns, address, port, freebind }], handlers)
}

function listenOn(
  sockets: DnsSockets,
  [datagramsOn, listenOnPlace]: [
    Parameters<DnsSockets['openDatagrams']>[0],
    Parameters<DnsSockets['listenIn']>[0],
  ],
  handlers: ListeningHandlers,
): Listening {
  const listener = sockets.listenIn(listenOnPlace, handlers.onStream)
  listener.on('error', (error) => handlers.onProblem(`listening: ${error.message}`))
  let datagrams: Datagrams
  try {
    datagrams = sockets.openDatagrams(datagramsOn, {
      onMessage: handlers.onMessage,
      onError: (code) => handlers.onProblem(`receiving a question: ${code}`),
    })
  } catch (error) {
    listener.close()
    throw error
  }
  const { fd: listening } = listener
  return {
    datagrams,
    descriptors:
      datagrams.fd === undefined || listening === undefined
        ? undefined
        : { datagrams: datagrams.fd, listener: listening },
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
