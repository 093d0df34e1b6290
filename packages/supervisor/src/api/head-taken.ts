import { isTaken, socketHandleFd } from '@holdfast/core'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** Output follows a head that nobody reads for so long. */
const patienceMs = 5_000

/**
 * Waits until the client has read the head of its answer. Docker's SDK for Python reads the head through a buffer, and
 * the stream from the socket beneath: output that arrives together with the head stays in that buffer and is lost.
 * dockerd needs tens of milliseconds to start a process, so it never sends both at once. An ordinary answer, which HTTP
 * frames, has nothing to wait for.
 */
export async function headTaken(socket: Writable): Promise<void> {
  if (!(socket instanceof Socket)) return
  const start = performance.now()
  while (!socket.destroyed && !(socket.writableLength === 0 && isTaken(socketHandleFd(socket)))) {
    const waited = performance.now() - start
    if (waited > patienceMs) return
    await sleep(Math.min(1 + waited / 8, 25))
  }
}
