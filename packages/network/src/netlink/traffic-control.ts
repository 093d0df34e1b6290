/**
 * Traffic control by rtnetlink (tc(8), linux/pkt_sched.h, linux/pkt_cls.h): a token bucket on what a link sends,
 * and the redirection of what it receives to an ifb link, which can have a token bucket of its own.
 */
import { formatTc, MessageType, parseTc } from 'netlink/dist/rt/gen_structs.js'
import { attribute, attributesOf, nested, text, textOf, u32 } from './netlink-attributes.ts'
import { NLM_F_CREATE, NLM_F_REPLACE, type Reply, type Request } from './netlink.ts'

const TC_H_ROOT = 0xffff_ffff
const TC_H_INGRESS = 0xffff_fff1
const ingressHandle = 0xffff_0000
const bucketHandle = 0x0001_0000

const TCA_KIND = 1
const TCA_OPTIONS = 2
const TCA_TBF_PARMS = 1
const TCA_TBF_RATE64 = 4
const TCA_TBF_BURST = 6
const TC_LINKLAYER_ETHERNET = 1
const TCA_U32_SEL = 5
const TCA_U32_ACT = 7
const TC_U32_TERMINAL = 1
const TCA_ACT_KIND = 1
const TCA_ACT_OPTIONS = 2
const TCA_MIRRED_PARMS = 2
const TCA_EGRESS_REDIR = 1
const TC_ACT_STOLEN = 4
const ETH_P_ALL = 0x0003

/** struct tcmsg; attributes follow. */
const tcHeaderBytes = 20

/** The reference bandwidth plugin's: a queue of 25 ms. */
const latencySeconds = 0.025

export interface TokenBucket {
  /** Bytes per second. */
  rate: number
  /** Bytes that may be sent at once. */
  burst: number
}

/** A token bucket as the root of what the link sends. Replaces one that is there. */
export function tokenBucket(index: number, { rate, burst }: TokenBucket): Request {
  const limit = Math.min(Math.ceil(rate * latencySeconds) + burst, 0xffff_ffff)
  // struct tc_tbf_qopt: two tc_ratespec of 12 bytes, then limit, buffer, mtu. With a link layer the kernel
  // counts by itself instead of asking for a table of 256 rates.
  const options = Buffer.alloc(36)
  options.writeUInt8(TC_LINKLAYER_ETHERNET, 1)
  options.writeUInt32LE(Math.min(rate, 0xffff_ffff), 8)
  options.writeUInt32LE(limit, 24)
  return {
    ...discipline(index, TC_H_ROOT, bucketHandle, 'tbf'),
    payload: [
      formatTc({ ifindex: index, parent: TC_H_ROOT, handle: bucketHandle }),
      attribute(TCA_KIND, text('tbf')),
      nested(TCA_OPTIONS, [
        attribute(TCA_TBF_PARMS, options),
        attribute(TCA_TBF_BURST, u32(burst)),
        ...(rate > 0xffff_ffff ? [attribute(TCA_TBF_RATE64, u64(rate))] : []),
      ]),
    ],
  }
}

/** What the link receives leaves by another link instead, from where it comes back in at the same place. */
export function redirectIngress(index: number, to: number): Request[] {
  return [
    discipline(index, TC_H_INGRESS, ingressHandle, 'ingress'),
    {
      type: MessageType.NEWTFILTER,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      what: `RTM_NEWTFILTER on link ${index}`,
      hints: { ENOENT: 'This kernel has no u32 filters or no mirred action: load cls_u32 and act_mirred.' },
      payload: [
        // Priority 1, every protocol, in network order.
        formatTc({ ifindex: index, parent: ingressHandle, info: (1 << 16) | (ETH_P_ALL << 8) }),
        attribute(TCA_KIND, text('u32')),
        nested(TCA_OPTIONS, [
          attribute(TCA_U32_SEL, matchAll()),
          nested(TCA_U32_ACT, [
            nested(1, [
              attribute(TCA_ACT_KIND, text('mirred')),
              nested(TCA_ACT_OPTIONS, [attribute(TCA_MIRRED_PARMS, redirection(to))]),
            ]),
          ]),
        ]),
      ],
    },
  ]
}

export function dumpDisciplines(): Request {
  return { type: MessageType.GETQDISC, what: 'RTM_GETQDISC', payload: [formatTc({})] }
}

export function parseDiscipline({ data }: Reply): { index: number; kind: string; bucket?: TokenBucket } {
  const { ifindex: index = 0 } = parseTc(data.subarray(0, tcHeaderBytes))
  const attributes = attributesOf(data.subarray(tcHeaderBytes))
  const kind = textOf(attributes.get(TCA_KIND)) ?? ''
  const options = kind === 'tbf' ? attributes.get(TCA_OPTIONS) : undefined
  if (!options) return { index, kind }
  const bucket = attributesOf(options)
  const parameters = bucket.get(TCA_TBF_PARMS)
  const rate = bucket.get(TCA_TBF_RATE64)?.readBigUInt64LE() ?? parameters?.readUInt32LE(8) ?? 0
  return {
    index,
    kind,
    bucket: { rate: Number(rate), burst: bucket.get(TCA_TBF_BURST)?.readUInt32LE() ?? 0 },
  }
}

function discipline(index: number, parent: number, handle: number, kind: string): Request {
  return {
    type: MessageType.NEWQDISC,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `RTM_NEWQDISC ${kind} on link ${index}`,
    hints: { ENOENT: `This kernel has no ${kind} queues: load the module sch_${kind}.` },
    payload: [formatTc({ ifindex: index, parent, handle }), attribute(TCA_KIND, text(kind))],
  }
}

/** struct tc_u32_sel with one tc_u32_key whose mask is empty. */
function matchAll(): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt8(TC_U32_TERMINAL, 0)
  bytes.writeUInt8(1, 2) // nkeys
  return bytes
}

/** struct tc_mirred */
function redirection(index: number): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeInt32LE(TC_ACT_STOLEN, 8)
  bytes.writeInt32LE(TCA_EGRESS_REDIR, 20)
  bytes.writeUInt32LE(index, 24)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
