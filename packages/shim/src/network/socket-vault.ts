/**
 * Sockets that outlive the shim that opened them: duplicates lie in flight from one end of a pair to the other, and the
 * container's keeper holds both ends. So what comes while there is no shim waits in them, for a later one to take over.
 * Nobody has to tell the keeper what it holds: the descriptors are put in and taken out from here, and go with it.
 *
 *   shim ─ duplicates ─► into ~~~~ in flight ~~~~ out ─ duplicates (MSG_PEEK) ─► a later shim
 *                         └────── the keeper ──────┘
 */
import { hasCode } from '@holdfast/errors'
import { closeFd, pidfdGetfd, socketpair } from '@holdfast/core'
import { peekJson, receiveJson, sendJson } from '../worker/descriptor-message.ts'

/** The ends' numbers among the keeper's descriptors. */
export interface VaultRecord {
  into: number
  out: number
}

/** For the keeper, by the names of its `keep`. They stay the caller's. */
export function makeVaultEnds(): { 'vault-into': number; 'vault-out': number } {
  const [into, out] = socketpair('seqpacket')
  return { 'vault-into': into, 'vault-out': out }
}

/** The names of `makeVaultEnds` are apart: a shim takes these descriptors when it needs them, which few ever do. */
export function splitVault(keeperFds: Readonly<Record<string, number>>): {
  keeperFds: Record<string, number>
  vault?: VaultRecord
} {
  const { 'vault-into': into, 'vault-out': out, ...others } = keeperFds
  if (into === undefined || out === undefined) return { keeperFds: others }
  return { keeperFds: others, vault: { into, out } }
}

export class SocketVault {
  readonly #into: number
  readonly #out: number

  private constructor(into: number, out: number) {
    this.#into = into
    this.#out = out
  }

  /** Undefined where the keeper has ended. */
  static open(keeper: number, { into, out }: VaultRecord): SocketVault | undefined {
    let end: number | undefined
    try {
      end = pidfdGetfd(keeper, into)
      return new SocketVault(end, pidfdGetfd(keeper, out))
    } catch (error) {
      if (end !== undefined) closeFd(end)
      if (!hasCode(error, 'ESRCH')) throw error
      return undefined
    }
  }

  /** Duplicates of all of these, by name; what was there before goes. */
  put(fds: Readonly<Record<string, number>>): void {
    this.empty()
    sendJson(this.#into, {}, fds)
  }

  /** Duplicates of what is there, for the caller to close; undefined where there is nothing. */
  peek(): Record<string, number> | undefined {
    const message = peekJson(this.#out)
    return typeof message === 'object' ? message.fds : undefined
  }

  empty(): void {
    for (;;) {
      const message = receiveJson(this.#out)
      if (typeof message !== 'object') return
      for (const fd of Object.values(message.fds)) closeFd(fd)
    }
  }

  close(): void {
    closeFd(this.#into)
    closeFd(this.#out)
  }
}
