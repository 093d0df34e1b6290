/**
 * A subnet between being chosen and being routed: other processes on this host must not choose it too. It is
 * held by an abstract unix socket of its name (unix(7)): those belong to the network namespace, as routes do,
 * and go with the process. Nothing is ever said over it.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { hasCode } from '@holdfast/errors'
import { inNetns } from './netns.ts'

const reservations = new Map<string, Server>()

/** False where another process, or an earlier call in this one, has it. */
export async function reserveSubnet(subnet: string, hostNetns?: number): Promise<boolean> {
  const server = createServer((socket) => socket.destroy())
  // Bound within the call, and so in that namespace; told a turn later.
  inNetns(hostNetns, () => server.listen({ path: `\0holdfast-subnet-${subnet}`, exclusive: true }))
  server.unref()
  try {
    await once(server, 'listening')
  } catch (error) {
    if (hasCode(error, 'EADDRINUSE')) return false
    throw error
  }
  reservations.set(keyOf(subnet, hostNetns), server)
  return true
}

/** The network that it was chosen for has it now, or will not. */
export function releaseSubnet(subnet: string, hostNetns?: number): void {
  const key = keyOf(subnet, hostNetns)
  reservations.get(key)?.close()
  reservations.delete(key)
}

function keyOf(subnet: string, hostNetns: number | undefined): string {
  return `${hostNetns ?? ''} ${subnet}`
}
