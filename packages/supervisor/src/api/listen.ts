import { maxSocketPath } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { chmodSync, chownSync, lstatSync, readFileSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'

export interface SocketOptions {
  /** Group that owns the socket, by name or number; without it the socket is root's alone. */
  group?: string | undefined
}

/**
 * Where to listen: `unix:///path`, or `fd://N` for a socket that is listening already (socket activation).
 * TCP is refused: without TLS on both sides it would hand root to anyone who reaches the port.
 */
export type ListenTarget = { path: string } | { fd: number }

/** Throws HF_BAD_REQUEST or HF_UNSUPPORTED. */
export function parseHost(host: string): ListenTarget {
  const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/.exec(host) ?? []
  if (scheme === 'unix') return { path: checkedPath(rest) }
  if (scheme === 'fd' && /^\d{1,6}$/.test(rest)) return { fd: Number(rest) }
  if (scheme === 'tcp') {
    throw new HoldfastError('HF_UNSUPPORTED', `cannot listen on ${host}: TCP is not supported`, {
      hint: 'Use a unix socket, and ssh to reach it from elsewhere: DOCKER_HOST=ssh://root@host.',
      details: { field: 'host' },
    })
  }
  throw new HoldfastError(
    'HF_BAD_REQUEST',
    `invalid host "${host}": expected unix:///absolute/path or fd://N`,
  )
}

/** libuv cuts a longer path off without a word and binds elsewhere; a leading NUL would make an abstract socket. */
function checkedPath(path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid socket path "${path}": it must be absolute`)
  }
  if (Buffer.byteLength(path) > maxSocketPath) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `the socket path has ${Buffer.byteLength(path)} bytes: ${path}`,
      {
        hint: `A unix socket's address holds at most ${maxSocketPath}: choose a shorter path.`,
      },
    )
  }
  return path
}

/** Starts listening. A dead socket file in the way is replaced; a living server there is an error. */
export async function listen(server: Server, target: ListenTarget, options: SocketOptions): Promise<void> {
  if ('fd' in target) return await listening(server, { fd: target.fd })
  await removeDeadSocket(target.path)
  await listening(server, target)
  chownSync(target.path, 0, groupId(options.group) ?? 0)
  chmodSync(target.path, 0o660)
}

function listening(server: Server, target: { path: string } | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // bind(2) happens inside `listen`; until chmod the file must not be open to others.
    const umask = process.umask(0o177)
    server.listen(target, () => {
      server.off('error', reject)
      resolve()
    })
    process.umask(umask)
  })
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket()) throw new HoldfastError('HF_BAD_REQUEST', `${path} exists and is not a socket`)
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false))
    probe.once('connect', () => probe.destroy())
  })
  if (alive) {
    throw new HoldfastError('HF_BAD_REQUEST', `another server is listening on ${path}`, {
      hint: 'Stop it, or give this one a socket of its own with --host.',
    })
  }
  rmSync(path)
}

/** Throws HF_BAD_REQUEST for a group that /etc/group doesn't have. */
export function groupId(group: string | undefined): number | undefined {
  if (group === undefined || group === '') return undefined
  if (/^\d{1,9}$/.test(group)) return Number(group)
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${group}:`))
  const id = line?.split(':')[2]
  if (id === undefined) throw new HoldfastError('HF_BAD_REQUEST', `group ${group} is not in /etc/group`)
  return Number(id)
}
