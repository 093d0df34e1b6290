import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ShimSpec } from '@holdfast/protocol'
import { parseShimSpec } from '@holdfast/protocol'
import type { ShimClient } from '../shims/shim-client.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { shimDirectory } from './paths.ts'
import { reachShim } from './reach-shim.ts'
import { unmountShm } from './shared-memory.ts'
import { within } from './within.ts'

const deleteDeadlineMs = 20_000

/** Ends whatever is left of the container's run: processes, cgroups, mounts, the shim and its directory. Idempotent. */
export async function discardShim(context: EngineContext, container: Container): Promise<void> {
  const client = container.shim?.client
  container.shim = undefined
  await discardShimDirectory(context, shimDirectory(context.paths, container.id), client)
  unmountShm(context, container.id)
}

/** As `discardShim`, for a directory that may belong to nobody any more. */
export async function discardShimDirectory(
  context: EngineContext,
  dir: string,
  client?: ShimClient,
): Promise<void> {
  if (!existsSync(dir)) return
  const spec = readSpec(dir)
  // A directory without its shim.json was being written when the engine died: no shim was ever started for it.
  if (spec) await deleteThrough(context, dir, spec, client)
  // The shim ends a moment after its answer, and takes its lock file away: the directory may change under rm.
  await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 10 })
}

async function deleteThrough(
  context: EngineContext,
  dir: string,
  spec: ShimSpec,
  known: ShimClient | undefined,
): Promise<void> {
  if (known) {
    try {
      await within(deleteDeadlineMs, 'taking a container down', known.request('delete', { force: true }))
      known.close()
      return
    } catch {
      known.close() // it died in the middle: another goes on where it stopped
    }
  }
  const client = await reachShim(context, dir, spec.token)
  try {
    await within(deleteDeadlineMs, 'taking a container down', client.request('delete', { force: true }))
  } finally {
    client.close()
  }
}

function readSpec(dir: string): ShimSpec | undefined {
  try {
    return parseShimSpec(readFileSync(join(dir, 'shim.json'), 'utf8'))
  } catch {
    return undefined
  }
}
