/** What happens to a network from outside. */
import type { Family } from '../address.ts'

/** `id` and `interface` as in the request that attached it; `link`: the host's end of the pair. */
export interface LinkOfAttachment {
  id: string
  interface: string
  link: string
}

/** What is not as it should be. */
export type Damage =
  | { type: 'bridge-lost'; bridge: string }
  | { type: 'bridge-down'; bridge: string }
  /** The gateway's address is off the bridge. */
  | { type: 'address-lost'; address: string }
  /** The host's route to a subnet of the network. */
  | { type: 'route-lost'; destination: string }
  /** The pair is gone, or was moved: the container's namespace died, or somebody deleted it. Beyond repair. */
  | ({ type: 'link-lost' } & LinkOfAttachment)
  | ({ type: 'link-down' } & LinkOfAttachment)
  /** It is no port of the bridge any more. */
  | ({ type: 'link-off-bridge' } & LinkOfAttachment)
  /** `missing`: chains and sets of our table, `table` for all of it. */
  | { type: 'rules-lost'; missing: string[] }
  /** Published ports that are not translated, `tcp 8080 → 10.1.2.3 port 80`. */
  | { type: 'ports-lost'; ports: string[] }
  /** What of the egress policies was not in the rules. */
  | { type: 'policy-lost'; missing: string[] }
  /** Somebody switched forwarding off. It may be meant, so it is left at that; `fix` is the command. */
  | { type: 'forwarding-off'; family: Family; fix: string }

/** A packet that a policy refused. At most five a second and container are told. */
export interface Refusal {
  type: 'refused'
  /** Whose packet it was; absent where the source is no container of the network's. */
  id?: string
  interface?: string
  /** `deny 10.0.0.0/8 tcp 25`, `nothing allows it`; prefixed with `network: ` where the network's policy refused. */
  rule: string
  protocol: string
  source: string
  destination: string
  /** The destination's, where the protocol has ports. */
  port?: number
}

/** What `watch` tells of. */
export type NetworkEvent =
  /** `repaired`: it is as it should be again; `error` says why not, where that can be known. */
  | (Damage & { repaired: boolean; error?: unknown })
  /** Somebody routes a part of the network's subnet elsewhere. Nothing is done about it. */
  | { type: 'route-conflict'; destination: string; link: string }
  /** Looking after the network failed; it is tried again at the next change. */
  | { type: 'watch-failed'; error: unknown }
  | Refusal
