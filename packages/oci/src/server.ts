/** Serves front ends until nobody has asked for a while. */
import { acceptConnection, closeFd, peerCredentials, watchFd } from '@holdfast/core'
import { ExitError, type Call } from './call.ts'
import { Connection, protocolError } from './connection.ts'
import { messageOf } from './error-text.ts'
import { help } from './help.ts'
import { usage } from './options.ts'
import { readRequest } from './request.ts'
import { verbs } from './verbs.ts'

export interface ServeOptions {
  listener: number
  idleMs: number
  /** Called once idle; nobody new can come from then on. */
  retire: () => void
}

/** Resolves when it has retired and the last one is served. */
export function serve({ listener, idleMs, retire }: ServeOptions): Promise<void> {
  return new Promise((resolve) => {
    let active = 0
    let retired = false
    let timer = setTimeout(idle, idleMs)
    const watch = watchFd(listener, { readable: true }, acceptAll)

    function acceptAll(): void {
      for (let fd = acceptConnection(listener); fd !== undefined; fd = acceptConnection(listener)) {
        clearTimeout(timer)
        active++
        void serveOne(fd).finally(done)
      }
    }
    function done(): void {
      active--
      if (active > 0) return
      if (retired) finish()
      else timer = setTimeout(idle, idleMs)
    }
    function idle(): void {
      retire()
      retired = true
      // Who found the socket just before it went waits in its queue.
      acceptAll()
      if (active === 0) finish()
    }
    function finish(): void {
      watch.close()
      resolve()
    }
  })
}

/** One call, from its request to its exit status. Never rejects. */
export async function serveOne(fd: number): Promise<void> {
  const connection = new Connection(fd)
  const printed: string[] = []
  try {
    const status = await answer(fd, connection, printed)
    leave(connection, status, printed.join(''))
  } catch (error) {
    leave(connection, error instanceof ExitError ? error.status : 1, printed.join(''), messageOf(error))
  } finally {
    connection.close()
  }
}

async function answer(fd: number, connection: Connection, printed: string[]): Promise<number> {
  const packet = await connection.receive()
  connection.send('a')
  const { uid } = peerCredentials(fd)
  if (uid !== 0 && uid !== process.geteuid?.()) throw protocolError(`user ${uid} may not ask`)
  const [memfd, input] = packet?.fds ?? []
  if (packet?.kind !== 'q' || memfd === undefined) throw protocolError('no request')
  const request = readRequest(memfd)
  closeFd(memfd)
  const call: Call = {
    request,
    connection,
    input,
    print: (text) => void printed.push(text),
    warn: (text) => void connection.send('w', text.slice(0, 4000)),
  }
  try {
    const verb = Object.hasOwn(verbs, request.verb) ? verbs[request.verb] : undefined
    if (!verb) throw usage(`No help topic for '${request.verb}'`)
    if (asksForHelp(request.verb, request.args)) {
      help(call)
      return 0
    }
    return (await verb(call)) ?? 0
  } finally {
    if (input !== undefined) closeFd(input)
  }
}

/** Not behind the command of an exec. */
function asksForHelp(verb: string, args: readonly string[]): boolean {
  const own = verb === 'exec' ? args.slice(0, 1) : args
  return own.some((arg) => arg === '--help' || arg === '-h')
}

function leave(connection: Connection, status: number, out: string, error?: string): void {
  const head = Buffer.alloc(5)
  head[0] = (out === '' ? 0 : 1) | (error === undefined ? 0 : 2)
  head.writeUInt32LE(status, 1)
  connection.sendTexts('x', head, [...(out === '' ? [] : [out]), ...(error === undefined ? [] : [error])])
}
