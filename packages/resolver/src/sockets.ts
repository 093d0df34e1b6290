/** What this package needs of sockets; it opens none itself. `@holdfast/core` has functions of these shapes. */

export interface Place {
  /** Descriptor of a network namespace; absent: the caller's own. */
  netns?: number | undefined
  address: string
  port: number
}

export interface Datagrams {
  /** Its descriptor, where it has one. */
  readonly fd?: number
  /** `peer` as it came with a message; absent: to whom the socket is connected. false: not sent. */
  send(message: Uint8Array, peer?: Uint8Array): boolean
  close(): void
}

export interface ByteStream {
  /** Bytes that were written and not taken yet. */
  readonly writableLength: number
  write(bytes: Uint8Array): unknown
  end(): unknown
  destroy(): unknown
  setTimeout(ms: number, onIdle: () => void): unknown
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'end' | 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

interface StreamServer {
  readonly fd?: number
  close(): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** A socket that is there already, to be taken over. */
export interface Descriptor {
  fd: number
}

/** The sockets that a resolver is given. `@holdfast/core` has functions of these names. */
export interface DnsSockets {
  /** Message and peer are views that the next message overwrites. */
  openDatagrams(
    options:
      | {
          netns?: number | undefined
          bind?: { address: string; port: number }
          connect?: { address: string; port: number }
          freebind?: boolean
        }
      | Descriptor,
    handlers: { onMessage: (message: Uint8Array, peer: Uint8Array) => void; onError: (code: string) => void },
  ): Datagrams
  listenIn(
    place: (Place & { freebind?: boolean }) | Descriptor,
    onConnection: (stream: ByteStream) => void,
  ): StreamServer
  connectIn(place: Place): ByteStream
  /**
   * From now on what is asked at one port leads to the other, inside a network namespace; or goes on doing so, where a
   * descriptor that an earlier one had is taken over. Absent, or where it throws: the resolver listens on port 53, which
   * then nothing in there can listen on for all addresses.
   */
  openPortRedirectIn?(netns: number, redirect: PortRedirect | Descriptor): OpenPortRedirect
}

/** In a table of this name: one that is another resolver's is EPERM or EEXIST. */
interface PortRedirect {
  table: string
  /** IPv4. */
  address: string
  port: number
  to: number
}

/** It ends with this, and with the last duplicate of its descriptor. */
export interface OpenPortRedirect {
  readonly fd?: number
  close(): void
}
