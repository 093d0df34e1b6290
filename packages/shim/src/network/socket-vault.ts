/**
 * Sockets that outlive the shim that opened them: duplicates lie in flight from one end of a pair to the other, and the
 * container's keeper holds both ends. So what comes while there is no shim waits in them, for a later one to take over.
 * Nobody has to tell the keeper what it holds: the descriptors are put in and taken out from here, and go with it.
 *
 *   shim ─ duplicates ─► into ~~~~ in flight ~~~~ out ─ duplicates (MSG_PEEK) ─► a later shim
 *                         └────── the keeper ──────┘
 */
import { hasCode } from '@holdfast/errors'
import { closeFd, peekFromFirst, pidfdGetfd, socketpair } from '@holdfast/core'
import { closeAll } from '../stdio/stdio.ts'
import { peekJson, receiveJson, sendJson, type DescriptorMessage } from '../worker/descriptor-message.ts'

/** A message has room for 253. */
const mostTogether = 200

type IsName = (name: string) => boolean

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

  /** Duplicates of all of these, beside what is there. Those of one call are put in together, up to `mostTogether`. */
  put(fds: Readonly<Record<string, number>>): void {
    const entries = Object.entries(fds)
    for (let at = 0; at < entries.length; at += mostTogether)
      sendJson(this.#into, {}, Object.fromEntries(entries.slice(at, at + mostTogether)))
  }

  /** Duplicates of what is wanted of what is there, by name, for the caller to close. */
  peek(isWanted: IsName): Record<string, number> {
    const found: Record<string, number> = {}
    for (const { fds } of this.#messages()) {
      for (const [name, fd] of Object.entries(fds)) {
        if (isWanted(name) && found[name] === undefined) found[name] = fd
        else closeFd(fd)
      }
    }
    return found
  }

  /** What stays is put in again before its message is taken out: whoever is killed over it leaves something twice, and loses nothing. */
  remove(isGone: IsName): void {
    const messages = this.#messages()
    for (const { fds } of messages) {
      const staying = Object.entries(fds).filter(([name]) => !isGone(name))
      if (staying.length > 0) sendJson(this.#into, {}, Object.fromEntries(staying))
      closeAll(fds)
      this.#takeOut()
    }
  }

  empty(): void {
    while (this.#takeOut());
  }

  close(): void {
    closeFd(this.#into)
    closeFd(this.#out)
  }

  /** All that are there, with duplicates. */
  #messages(): DescriptorMessage[] {
    peekFromFirst(this.#out)
    const messages: DescriptorMessage[] = []
    for (;;) {
      const message = peekJson(this.#out)
      if (typeof message !== 'object') return messages
      messages.push(message)
    }
  }

  /** The first one; false where there is none. */
  #takeOut(): boolean {
    const message = receiveJson(this.#out)
    if (typeof message !== 'object') return false
    closeAll(message.fds)
    return true
  }
}
