import { existsSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import type { ShimSpec } from '@holdfast/protocol'
import { isDeletedLock, parseShimSpec } from '@holdfast/protocol'
import type { ShimClient } from '../../shims/shim-client.ts'
import { removeCgroupParent } from '../cgroup-parent.ts'
import { removeCgroup } from '../cgroup-tree.ts'
import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import { shimDirectory } from '../paths.ts'
import { reachShim } from './reach-shim.ts'
import { unmountShm } from '../mounts/shared-memory.ts'
import { within } from '../within.ts'

const deleteDeadlineMs = 20_000

/** How many shims may be killed one after the other. */
const mostTries = 4

/**
 * What shim.json is called while its container is taken down. A shim may have been forked for the directory by an
 * engine that was killed, and come late: the lock is free by then, and only the missing order tells it to end.
 */
const endingName = 'ending.json'

/**
 * Ends whatever is left of the container's run: processes, cgroups, mounts, the shim and its directory. Idempotent. The
 * root is unmounted when `container.unmounted` settles, which may take as long as the disk does.
 */
export async function discardShim(context: EngineContext, container: Container): Promise<void> {
  const client = container.shim?.client
  container.shim = undefined
  if (client) container.unmounted = client.unmounted
  await discardShimDirectory(context, shimDirectory(context.paths, container.id), client)
  unmountShm(context, container.id)
  removeCgroupParent(context, container)
}

/** As `discardShim`, for a directory that may belong to nobody any more. */
export async function discardShimDirectory(
  context: EngineContext,
  dir: string,
  client?: ShimClient,
): Promise<void> {
  if (!existsSync(dir)) return
  restoreSpec(dir)
  const spec = readSpec(dir)
  // A directory without its shim.json was being written when the engine died: no shim was ever started for it.
  if (spec) await deleteThrough(context, dir, spec, client).catch(takeDownWithout(context, dir))
  // The shim ends a moment after its answer, and takes its files away: the directory may change under rm.
  // A handful of small files on a tmpfs: the thread pool would take ten times as long.
  rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 10 })
}

/**
 * No shim comes up for it, since what the last one has written is damaged, or for want of everything. What was made lives
 * in the container's cgroup, or is held by what lives there.
 */
function takeDownWithout(context: EngineContext, dir: string): (error: unknown) => Promise<void> {
  return async (error) => {
    if (!hasCode(error, 'HF_SHIM_LOST')) throw error
    context.logger.error({ err: error, dir }, 'no shim takes this container down: it is taken down without')
    await removeCgroup(readCgroupPath(context, dir))
  }
}

function readCgroupPath({ cgroupParent }: EngineContext, dir: string): string {
  const { linux } = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as {
    linux: { cgroupsPath: string }
  }
  return linux.cgroupsPath.startsWith('/') ? linux.cgroupsPath : `${cgroupParent}/${linux.cgroupsPath}`
}

async function deleteThrough(
  context: EngineContext,
  dir: string,
  spec: ShimSpec,
  known: ShimClient | undefined,
): Promise<void> {
  let client = known
  for (let tries = 1; ; tries++) {
    // The engine, or the shim, ended between that and the answer: no shim would stay.
    if (!client && wasDeleted(dir)) return
    try {
      return await deleteWith(client ?? (await reachShim(context, dir, spec.token)), dir)
    } catch (error) {
      restoreSpec(dir) // it died in the middle: another goes on where it stopped
      if (!client && (tries >= mostTries || !hasCode(error, 'HF_SHIM_LOST'))) throw error
      client = undefined
    }
  }
}

async function deleteWith(client: ShimClient, dir: string): Promise<void> {
  renameSync(join(dir, 'shim.json'), join(dir, endingName))
  try {
    await within(deleteDeadlineMs, 'taking a container down', client.request('delete', { force: true }))
    client.release()
  } catch (error) {
    client.close()
    throw error
  }
}

function wasDeleted(dir: string): boolean {
  const lock = statSync(join(dir, 'shim.lock'), { throwIfNoEntry: false })
  return lock !== undefined && isDeletedLock(lock.mode)
}

/** A removal was cut short: whoever goes on with it needs the order again. */
function restoreSpec(dir: string): void {
  const ending = join(dir, endingName)
  if (existsSync(ending)) renameSync(ending, join(dir, 'shim.json'))
}

function readSpec(dir: string): ShimSpec | undefined {
  try {
    return parseShimSpec(readFileSync(join(dir, 'shim.json'), 'utf8'))
  } catch {
    return undefined
  }
}
