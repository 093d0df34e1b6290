/** The stateless verbs: what they take and give. No engine, no global state; JSON in, plain data out. */
import type { NetworkConfig, Result, RuntimeConfig } from './network-config.ts'

/** CNI's ADD. */
export interface SetupRequest {
  network: NetworkConfig
  runtime?: RuntimeConfig
  /** Whose attachment it is. Letters, digits, `_`, `.`, `-`. */
  containerId: string
  /** The network namespace: its path, or a descriptor, which stays the caller's. */
  netns: string | number
  /** Name of the interface inside, `eth0`. */
  interface: string
  /** What another IPAM plugin chose, where the network's `ipam` is `caller`. */
  ipam?: Partial<Result>
  /** The result of the plugin before in a chain. Where it made the interface already, that is published and shaped. */
  previous?: Result
  /** Told, when the host's rules are written, what of the host's own keeps packets from the network, and the fix. */
  warn?: (message: string) => void
}

/** CNI's DEL. */
export interface TeardownRequest {
  network: NetworkConfig
  containerId: string
  interface: string
  /** May be gone, or absent. */
  netns?: string | number
  /** The result of the setup, where the caller kept it. */
  previous?: Result
}

/** CNI's CHECK. */
export interface InspectRequest extends TeardownRequest {
  runtime?: RuntimeConfig
  /** Write rules again that somebody else flushed. */
  repair?: boolean
}

/** How an attachment is doing. */
export interface Inspection {
  /** What setup returned; undefined: there is no such attachment. */
  result: Result | undefined
  aliases: string[]
  /** What is not as setup left it, one sentence each. */
  problems: string[]
  /** What was amiss and is in order again. */
  repaired: string[]
}

/** CNI's GC. */
export interface SweepRequest {
  network: NetworkConfig
  /** Every other attachment of the network is removed; with none the network itself is. */
  valid: { containerId: string; interface: string }[]
}
