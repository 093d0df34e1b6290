/** nftables of another network namespace, changed at once: a batch (linux/netfilter/nfnetlink.h) is one transaction. */
import { SyscallError } from '@holdfast/errors'
import { closeFd, readFdInto, setNonblocking, writeFd } from './descriptor.ts'
import { errnoName } from './native.ts'
import { openNetlinkSocketIn } from './socket.ts'

const NETLINK_NETFILTER = 12
const NLMSG_ERROR = 2
const headerBytes = 16
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
      if (errno !== 0) throw failure(errno)
    },
    close() {
      if (open) closeFd(fd)
      open = false
    },
  }
}

/** The errno of each answer; 0: done. */
function readAnswers(fd: number): number[] {
  const buffer = new Uint8Array(answerBytes)
  const view = new DataView(buffer.buffer)
  const errors: number[] = []
  for (;;) {
    const length = readFdInto(fd, buffer)
    if (length === undefined || length === 0) return errors
    for (let at = 0; at + headerBytes + 4 <= length;) {
      if (view.getUint16(at + 4, true) === NLMSG_ERROR) errors.push(-view.getInt32(at + headerBytes, true))
      at += Math.max((view.getUint32(at, true) + 3) & ~3, headerBytes)
    }
  }
}

function failure(errno: number): SyscallError {
  // The two names share a number; netlink(7) has this one.
  const code = errno === 95 ? 'EOPNOTSUPP' : errnoName(errno)
  const hint = code === 'EPERM' ? 'CAP_NET_ADMIN is needed: run Holdfast as root.' : undefined
  return new SyscallError({ errno, code, syscall: 'sendmsg(nfnetlink)', hint })
}
