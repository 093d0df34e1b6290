/**
 * The Node side of a warm helper (front/helper.c has the other): it is started by a front end, takes the calls of many,
 * and ends when nobody has asked for a while.
 *
 *     node PROGRAM --serve SOCKET  descriptor 3 listens at SOCKET
 *     node PROGRAM --once          descriptor 3 is the one connection to serve
 */
import { rmSync, statSync, watch } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { leaveCallersCgroup } from './leave-cgroup.ts'
import { PacketConnection } from './packet-connection.ts'
import { acceptConnection, peerCredentials } from './socket.ts'
import { watchFd } from './watch.ts'

const socketFd = 3
/** Where the first call takes long. */
const leaveMilliseconds = 1_000

/** Whose calls a helper answers, and for how long it waits for the next one. */
export interface FrontEnds {
  /** The program's arguments. */
  args: readonly string[]
  /** How long it stays without a call; asked again after each connection. */
  idleMs: () => number
  /** One call, of a front end of root's or of this process's user. Never rejects; the connection is closed afterwards. */
  serve: (connection: PacketConnection) => Promise<void>
}

/**
 * Resolves when the last one is served. Its socket's removal by somebody else ends it as idleness does: calls that are
 * under way are carried out.
 */
export async function serveFrontEnds({ args, idleMs, serve }: FrontEnds): Promise<void> {
  const [mode, path] = args
  if (mode !== '--serve' || path === undefined) {
    await serveOne(socketFd, serve)
    return
  }
  await serveUntilIdle(path, idleMs, serve)
}

async function serveOne(fd: number, serve: FrontEnds['serve']): Promise<void> {
  const connection = new PacketConnection(fd)
  try {
    const { uid } = peerCredentials(fd)
    if (uid === 0 || uid === process.geteuid?.()) await serve(connection)
  } finally {
    connection.close()
  }
}

function serveUntilIdle(path: string, idleMs: () => number, serve: FrontEnds['serve']): Promise<void> {
  return new Promise((resolve) => {
    const inode = inodeOf(path)
    let active = 0
    let retired = false
    let left = false
    let timer = setTimeout(retire, idleMs())
    const leaving = setTimeout(leave, leaveMilliseconds)
    const listener = watchFd(socketFd, { readable: true }, acceptAll)
    const file = watch(path, () => {
      if (inodeOf(path) !== inode) retire()
    })
    file.on('error', () => file.close())

    function acceptAll(): void {
      for (let fd = acceptConnection(socketFd); fd !== undefined; fd = acceptConnection(socketFd)) {
        clearTimeout(timer)
        active++
        void serveOne(fd, serve).finally(done)
      }
    }
    function done(): void {
      active--
      setImmediate(leave)
      if (active > 0) return
      if (retired) finish()
      else timer = setTimeout(retire, idleMs())
    }
    /** Once, after the first call: it takes some milliseconds, in which that would wait. */
    function leave(): void {
      if (left) return
      left = true
      clearTimeout(leaving)
      leaveCallersCgroup()
    }
    function retire(): void {
      if (retired) return
      retired = true
      clearTimeout(timer)
      if (inodeOf(path) === inode) {
        // Not somebody else's by now.
        rmSync(path, { force: true })
        rmSync(`${path}.log`, { force: true })
      }
      // Who found the socket just before it went waits in its queue.
      acceptAll()
      if (active === 0) finish()
    }
    function finish(): void {
      file.close()
      listener.close()
      clearTimeout(leaving)
      resolve()
    }
  })
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}
