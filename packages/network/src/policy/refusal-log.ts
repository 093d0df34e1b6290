/** Packets that a policy refused, read from an nflog group (linux/netfilter/nfnetlink_log.h). */
import { writeFd } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { addressFromBytes } from '../address.ts'
import { frame, NETLINK_NETFILTER, type Request } from '../netlink/netlink.ts'
import { listenNetlink, type Listener } from '../netlink/netlink-listener.ts'
import { attribute, attributesOf } from '../netlink/netlink-attributes.ts'
import { nfgenHeader } from '../netlink/nfnetlink.ts'
import { protocolNumbers } from '../netlink/protocol-numbers.ts'
import type { Packet } from './egress-rule.ts'

const NFNL_SUBSYS_ULOG = 4
const NFULNL_MSG_PACKET = 0
const NFULNL_MSG_CONFIG = 1
const NFULA_CFG_CMD = 1
const NFULA_CFG_QTHRESH = 5
const NFULNL_CFG_CMD_BIND = 1
const NFULA_PAYLOAD = 9
const NLMSG_ERROR = 2
const EBUSY = 16
/** How many groups are tried before it is given up. */
const attempts = 64

export interface RefusalLog {
  /** Which the rules must log to. */
  group: number
  close(): void
}

/**
 * Takes an nflog group that nobody reads, and calls back for each packet that is logged to it. `start`: the
 * first group to try; what a network had before is free again once its process has ended.
 */
export async function openRefusalLog(
  start: number,
  netns: number | undefined,
  told: (packet: Packet) => void,
): Promise<RefusalLog> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const group = 1 + ((start + attempt) % 0xfffe)
    const log = await bind(group, netns, told)
    if (log) return { group, close: () => log.close() }
  }
  throw new HoldfastError('HF_NETWORK_FAILED', 'no nflog group is free for the log of refused packets', {
    hint: 'Who reads them is in /proc/net/netfilter/nfnetlink_log.',
  })
}

/** Undefined where another process reads this group. */
async function bind(
  group: number,
  netns: number | undefined,
  told: (packet: Packet) => void,
): Promise<Listener | undefined> {
  let answer: (errno: number) => void
  const answered = new Promise<number>((resolve) => (answer = resolve))
  const listener = listenNetlink({
    protocol: NETLINK_NETFILTER,
    groups: [],
    netns,
    keepAlive: true, // until it has answered
    message({ type, data }) {
      if (type === NLMSG_ERROR) answer(-data.readInt32LE(0))
      if (type !== ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)) return
      const packet = packetOf(data)
      if (packet) told(packet)
    },
    overrun() {}, // the log is no account of every packet: the rules drop most of a flood before it
  })
  try {
    writeFd(listener.fd, frame(bindRequest(group), 1))
    const errno = await answered
    if (errno === 0) {
      listener.unref()
      return listener
    }
    if (errno !== EBUSY) {
      throw new HoldfastError('HF_NETWORK_FAILED', `the kernel logs no refused packets (errno ${errno})`, {
        hint: 'It needs nfnetlink_log and nft_log.',
      })
    }
  } catch (error) {
    listener.close()
    throw error
  }
  listener.close()
  return undefined
}

/** A message for each packet at once (a threshold of 1), instead of a second later. */
function bindRequest(group: number): Request {
  const one = Buffer.alloc(4)
  one.writeUInt32BE(1)
  return {
    type: (NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG,
    what: 'NFULNL_MSG_CONFIG',
    payload: [
      nfgenHeader(0, group),
      attribute(NFULA_CFG_CMD, Buffer.of(NFULNL_CFG_CMD_BIND)),
      attribute(NFULA_CFG_QTHRESH, one),
    ],
  }
}

/** The addresses, protocol and port at the head of an IP packet; undefined where it is cut off. */
export function packetOf(message: Buffer): Packet | undefined {
  const payload = attributesOf(message.subarray(4)).get(NFULA_PAYLOAD)
  if (!payload || payload.length < 20) return undefined
  const v6 = payload[0]! >> 4 === 6
  if (v6 && payload.length < 40) return undefined
  const size = v6 ? 16 : 4
  const at = v6 ? 8 : 12
  const protocol = payload[v6 ? 6 : 9]!
  const transport = v6 ? 40 : (payload[0]! & 0xf) * 4
  const ported = (Object.values(protocolNumbers) as number[]).includes(protocol)
  return {
    source: addressFromBytes(payload.subarray(at, at + size)),
    destination: addressFromBytes(payload.subarray(at + size, at + 2 * size)),
    protocol,
    ...(ported && payload.length >= transport + 4 && { port: payload.readUInt16BE(transport + 2) }),
  }
}
