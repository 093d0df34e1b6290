/** Names at 127.0.0.11, inside the container's network. */
import { connectIn, listenIn, openDatagrams, openPortRedirectIn } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { DnsSpec } from '@holdfast/protocol'
import { DnsServer, type LearnedAddresses, type ListeningDescriptors } from '@holdfast/resolver'

export { changeTable } from '@holdfast/resolver'

export interface DnsOptions {
  /** Of the network namespace; it stays the caller's. */
  netns: number
  spec: DnsSpec
  /** Gives duplicates of what an earlier shim's server listened on; they are taken over. */
  inherited: () => ListeningDescriptors | undefined
  onProblem: (message: string) => void
  /** Awaited before an upstream server's answer is given. */
  onAnswer: (learned: LearnedAddresses) => Promise<void>
}

/** Throws HF_NETWORK_FAILED where the container listens there. */
export function openDns({ netns, spec, inherited, onProblem, onAnswer }: DnsOptions): DnsServer {
  try {
    return new DnsServer({
      sockets: { openDatagrams, listenIn, connectIn, openPortRedirectIn },
      netns,
      table: spec.table,
      upstreams: spec.upstreams,
      onAnswer,
      inherited,
      onProblem,
    })
  } catch (error) {
    if (!hasCode(error, 'EADDRINUSE')) throw error
    throw new HoldfastError('HF_NETWORK_FAILED', 'names cannot be answered at 127.0.0.11:53', {
      cause: error,
      hint: 'Another resolver answers there; or, where this kernel has no nftables, something listens on port 53 of all addresses.',
    })
  }
}
