import { setTimeout as sleep } from 'node:timers/promises'
import { connectShim, type ShimClient } from '../../shims/shim-client.ts'
import type { EngineContext } from '../context.ts'

const adoptDeadlineMs = 10_000
const adoptAttempts = 5

/** A shim that lives is listening: it is tried once, and where it is another that is being started that one is found below. */
const probeDeadlineMs = 0

/** The shim that listens in `dir`, or a new one. */
export async function reachShim(context: EngineContext, dir: string, token: string): Promise<ShimClient> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await connectShim({ dir, token, deadlineMs: probeDeadlineMs })
    } catch (error) {
      if (attempt > adoptAttempts) throw error
    }
    try {
      const { pid } = await context.zygote.fork({ dir })
      return await connectShim({ dir, token, deadlineMs: adoptDeadlineMs, pid })
    } catch (error) {
      if (attempt === adoptAttempts) throw error
      await sleep(50 * 2 ** attempt)
    }
  }
}
