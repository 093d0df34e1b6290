/**
 * A bound socket for each published port. Translation happens before any socket is looked at, so without it a
 * server that is started later on the same port would seem to work and never see a connection; and a port
 * that is taken could not be told from a free one. TCP sockets are bound and do not listen: what is not
 * translated is refused at once.
 */
import { closeFd, openSocketIn } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatAddress, type Address } from '../address.ts'
import type { PublishedPort } from '../bridge.ts'

const IPPROTO_SCTP = 132

export type HostPort = Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>

export interface Place {
  protocol: HostPort['protocol']
  address: Address
  port: number
  /** Beside connections of an earlier server that are still in TIME-WAIT. */
  reuse: boolean
}

export class HeldSockets {
  readonly #netns: number | undefined
  readonly #held = new Map<string, { fd: number | undefined; id: string }>()

  /** `netns`: the host's network namespace; absent: the caller's. */
  constructor(netns?: number) {
    this.#netns = netns
  }

  /** Binds; false where something else is bound there. HF_BAD_REQUEST where the address is not the host's. */
  hold(place: Place, id: string): boolean {
    const { protocol, address, port } = place
    const key = keyOf({ protocol, hostIp: formatAddress(address), hostPort: port })
    if (this.#held.has(key)) return false
    const fd = this.#bind(place)
    if (fd === 'taken') return false
    this.#held.set(key, { fd, id })
    return true
  }

  /** Notes whose the port is, where it could be bound now: another process is to bind it. */
  reserve(place: Place, id: string): boolean {
    const { protocol, address, port } = place
    const key = keyOf({ protocol, hostIp: formatAddress(address), hostPort: port })
    if (this.#held.has(key) || !this.isFree(place)) return false
    this.keep({ protocol, hostIp: formatAddress(address), hostPort: port }, id)
    return true
  }

  /** The same of a port that the other process has bound already. */
  keep(port: HostPort, id: string): void {
    this.#held.set(keyOf(port), { fd: undefined, id })
  }

  /** Whether the port could be bound now. */
  isFree(place: Place): boolean {
    const fd = this.#bind(place)
    if (fd === 'taken') return false
    if (fd !== undefined) closeFd(fd)
    return true
  }

  /** Whose port it is, among those held here; any address counts for all of its family. */
  ownerOf(protocol: HostPort['protocol'], address: Address, port: number): string | undefined {
    const any = address.family === 4 ? '0.0.0.0' : '::'
    const text = formatAddress(address)
    for (const [key, { id }] of this.#held) {
      const [heldProtocol, heldPort, heldIp] = key.split(' ')
      if (heldProtocol !== protocol || heldPort !== String(port)) continue
      const sameFamily = heldIp!.includes(':') === (address.family === 6)
      if (sameFamily && (heldIp === text || heldIp === any || text === any)) return id
    }
    return undefined
  }

  release(port: HostPort): void {
    const key = keyOf(port)
    const held = this.#held.get(key)
    this.#held.delete(key)
    if (held?.fd !== undefined) closeFd(held.fd)
  }

  close(): void {
    for (const { fd } of this.#held.values()) if (fd !== undefined) closeFd(fd)
    this.#held.clear()
  }

  /** Undefined: this kernel has no SCTP, so nothing else can listen there either. */
  #bind({ protocol, address, port, reuse }: Place): number | undefined | 'taken' {
    const text = formatAddress(address)
    try {
      return openSocketIn(this.#netns, {
        family: address.family === 4 ? 'inet' : 'inet6',
        type: protocol === 'udp' ? 'dgram' : 'stream',
        ...(protocol === 'sctp' && { protocol: IPPROTO_SCTP }),
        bind: { address: text, port },
        reuse,
      })
    } catch (error) {
      if (hasCode(error, 'EADDRINUSE')) return 'taken'
      if (protocol === 'sctp' && hasCode(error, 'EPROTONOSUPPORT')) return undefined
      if (!hasCode(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) throw error
      throw new HoldfastError(
        'HF_BAD_REQUEST',
        `cannot publish a port on ${text}: it is no address of this host`,
        {
          cause: error,
          details: { field: 'ports', hostIp: text },
        },
      )
    }
  }
}

function keyOf({ protocol, hostIp, hostPort }: HostPort): string {
  return `${protocol} ${hostPort} ${hostIp}`
}
