/**
 * Runs in the zygote what a shim runs that answers names or relays ports. Few do, and load the code only then; but one
 * that had to compile it for itself would need one to three MiB more of its own. Compiled here, all share it.
 */
import { portRedirectBatch } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { parseRequest, type DnsSpec, type RelaySpec } from '@holdfast/protocol'
import { changeTable, DnsServer } from '@holdfast/resolver'
import { openRelay } from '../network/relay.ts'

/** As often as V8 wants a function to run before it compiles it. */
const rounds = 10

const host = { id: 'a'.repeat(64), names: ['a'], domain: 'b', addresses: ['127.0.0.1', '::1'] }
const dns: DnsSpec = { table: { ttl: 1, hosts: [host], local: ['b'] }, upstreams: [] }
const nowhere = { address: '127.0.0.1', port: 1 }

/** Leaves nothing, and nothing is sent. */
export function warmUpNetwork(): void {
  for (let round = 0; round < rounds; round++) {
    warmNames()
    warmRelays()
  }
}

/** A resolver without sockets: a question comes in, an answer goes out. */
function warmNames(): void {
  const params = parsed('dns.set', { dns }) as { dns: DnsSpec }
  let ask: (message: Uint8Array, peer: Uint8Array) => void = () => {}
  const server = new DnsServer({
    ...params.dns,
    netns: 0,
    sockets: {
      openDatagrams: (_options, { onMessage }) => {
        ask = onMessage
        return { send: () => true, close: () => {} }
      },
      openPortRedirectIn: (_netns, redirect) => {
        if (!('fd' in redirect)) portRedirectBatch(redirect)
        return { close: () => {} }
      },
      listenIn: () => ({ on: () => {}, close: () => {} }),
      connectIn: () => {
        throw new Error('nobody is asked')
      },
    },
  })
  for (const name of ['0161', '01610162', '01780162']) {
    for (const type of ['0001', '001c'])
      ask(Buffer.from(`000101000001000000000000${name}00${type}0001`, 'hex'), new Uint8Array(1))
  }
  server.setTable(changeTable(params.dns.table, { put: [host], remove: [] }))
  server.close()
}

function warmRelays(): void {
  const specs: RelaySpec[] = [{ protocol: 'tcp', listen: nowhere, target: nowhere }]
  const { relays } = parsed('relays.set', { relays: specs }) as { relays: RelaySpec[] }
  for (const protocol of ['tcp', 'udp'] as const) {
    try {
      openRelay({ ...relays[0]!, protocol, listen: { address: '127.0.0.1', port: 0 } }).close()
    } catch (error) {
      if (!hasCode(error, 'HF_BAD_REQUEST')) throw error // the loopback of this machine is down
    }
  }
}

function parsed(method: 'dns.set' | 'relays.set', params: object): unknown {
  return parseRequest(JSON.stringify({ id: 1, method, params })).params
}
