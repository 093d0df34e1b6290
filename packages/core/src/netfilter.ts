/** nftables of another network namespace, changed at once: a batch (linux/netfilter/nfnetlink.h) is one transaction. */
import { closeFd, readFdInto, setNonblocking, writeFd } from './descriptor.ts'
import { syscallError } from './native.ts'
import { netlinkErrno, netlinkMessages, NLMSG_ERROR } from './netlink-message.ts'
import { openNetlinkSocketIn } from './socket.ts'

const NETLINK_NETFILTER = 12
const hints = { EPERM: 'CAP_NET_ADMIN is needed: run Holdfast as root.' }
/** Answers are a header, a number and a header each; a batch of some dozens fits. */
const answerBytes = 16_384

/** What a table is owned by (NFT_TABLE_F_OWNER): nobody else changes or flushes it, and it goes when this is closed. */
export interface Netfilter {
  /** It stays the object's. Tables go when its last duplicate is closed. */
  readonly fd: number
  /** `batch`: netlink messages in order, at least one with NLM_F_ACK. All of it or nothing: throws SyscallError. */
  apply(batch: Uint8Array): void
  close(): void
}

/**
 * Needs CAP_NET_ADMIN over the namespace. Main thread only. Throws SyscallError. `inherited`: a descriptor that such an
 * object had, to be taken over; its tables are this one's then.
 */
export function openNetfilterIn(netnsFd: number, inherited?: number): Netfilter {
  const fd = inherited ?? openNetlinkSocketIn(netnsFd, NETLINK_NETFILTER)
  if (inherited === undefined) setNonblocking(fd)
  let open = true
  return {
    fd,
    apply(batch) {
      writeFd(fd, batch) // the kernel carries it out, and answers, before it returns
      const errors = readAnswers(fd)
      const errno =
        errors.find((each) => each !== 0) ?? (errors.length === 0 ? 71 /* EPROTO: no answer */ : 0)
      if (errno !== 0) throw syscallError(errno, 'sendmsg(nfnetlink)', { hints })
    },
    close() {
      if (open) closeFd(fd)
      open = false
    },
  }
}

/** The errno of each answer; 0: done. */
function readAnswers(fd: number): number[] {
  const buffer = Buffer.alloc(answerBytes)
  const errors: number[] = []
  for (;;) {
    const length = readFdInto(fd, buffer)
    if (length === undefined || length === 0) return errors
    for (const message of netlinkMessages(buffer.subarray(0, length)))
      if (message.type === NLMSG_ERROR) errors.push(netlinkErrno(message))
  }
}
