/** Who has a port: the socket by sock_diag(7), its process by /proc/PID/fd. For error messages alone. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { addressBytes, addressFromBytes, isUnspecified, type Address } from '../address.ts'
import { AF_INET, AF_INET6, protocolNumbers } from '../netlink/protocol-numbers.ts'
import { NetlinkSocket, NETLINK_SOCK_DIAG, type Request } from '../netlink/netlink.ts'

const SOCK_DIAG_BY_FAMILY = 20

const TCP_ESTABLISHED = 1
const TCP_TIME_WAIT = 6
/** A socket that was bound and does nothing; shown from Linux 6.8 on. */
const TCP_BOUND_INACTIVE = 13

export interface PortHolder {
  /** The socket is a connection's end, not a listener: only TIME_WAIT keeps the port then. */
  timeWaitOnly: boolean
  pid?: number
  process?: string
}

/** Undefined where no socket with that port shows. */
export async function findPortHolder(
  protocol: keyof typeof protocolNumbers,
  address: Address,
  port: number,
  netns?: number,
): Promise<PortHolder | undefined> {
  const socket = NetlinkSocket.open(NETLINK_SOCK_DIAG, netns)
  try {
    const sockets = await Promise.all(
      [AF_INET, AF_INET6].map(async (family) =>
        (await socket.dump(query(family, protocolNumbers[protocol], port))).map(parse),
      ),
    )
    // An IPv6 socket that is not IPv6 only takes the IPv4 port too.
    const inTheWay = sockets
      .flat()
      .filter(
        (each) =>
          each.port === port &&
          (isUnspecified(address) ||
            isUnspecified(each.address) ||
            addressBytes(each.address).equals(addressBytes(address))),
      )
    if (inTheWay.length === 0) return undefined
    const holder = inTheWay.find(({ state }) => state !== TCP_TIME_WAIT && state !== TCP_ESTABLISHED)
    if (!holder) return { timeWaitOnly: true }
    return { timeWaitOnly: false, ...(await processOf(holder.inode)) }
  } finally {
    socket.close()
  }
}

/** struct inet_diag_req_v2 */
function query(family: number, protocol: number, port: number): Request {
  const payload = Buffer.alloc(56)
  payload.writeUInt8(family, 0)
  payload.writeUInt8(protocol, 1)
  payload.writeUInt32LE((0xfff | (1 << TCP_BOUND_INACTIVE)) >>> 0, 4)
  payload.writeUInt16BE(port, 8)
  return { type: SOCK_DIAG_BY_FAMILY, what: 'SOCK_DIAG_BY_FAMILY', payload: [payload], tolerate: ['ENOENT'] }
}

/** struct inet_diag_msg */
function parse({ data }: { data: Buffer }): { state: number; port: number; address: Address; inode: number } {
  const length = data.readUInt8(0) === AF_INET ? 4 : 16
  return {
    state: data.readUInt8(1),
    port: data.readUInt16BE(4),
    address: addressFromBytes(data.subarray(8, 8 + length)),
    inode: data.readUInt32LE(68),
  }
}

async function processOf(inode: number): Promise<{ pid: number; process: string } | undefined> {
  if (inode === 0) return undefined
  const target = `socket:[${inode}]`
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Processes come and go while we look.
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const fd of fds) {
      if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) !== target) continue
      const process = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      return { pid: Number(pid), process: process.trim() }
    }
  }
  return undefined
}
