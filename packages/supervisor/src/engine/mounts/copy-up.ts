/** Fills a new volume with what the image has at its place, owners and all, as Docker does. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  closeFd,
  fsconfigCreate,
  fsconfigFlag,
  fsconfigString,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOSUID,
  O_DIRECTORY,
  O_RDONLY,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'

/** How long a copy may take before it is given up. */
const deadlineMs = 600_000

/** `lower`: the image's layers, top first. Does nothing where the image has no directory there. */
export async function copyUp(lower: string[], path: string, target: string): Promise<void> {
  const source = openInLayers(lower, path)
  if (source === undefined) return
  try {
    // cp(1) of the host, on a descriptor: links inside the image are copied as they are and never followed.
    const copy = spawn('/bin/cp', ['--archive', '--', '/proc/self/fd/3/.', target], {
      env: {},
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe', source],
      timeout: deadlineMs,
      killSignal: 'SIGKILL',
    })
    let errors = ''
    copy.stderr?.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-2000)))
    const [code] = (await once(copy, 'close')) as [number | null]
    if (code !== 0) {
      const full = errors.includes('No space left')
      throw new HoldfastError(
        full ? 'HF_DISK_FULL' : 'HF_INTERNAL',
        `cannot fill the volume for ${path}: ${errors.trim()}`,
      )
    }
  } finally {
    closeFd(source)
  }
}

/** A directory of the image as a container would see it. Links in the image lead at most to the image's own root. */
function openInLayers(lower: string[], path: string): number | undefined {
  let root = -1
  try {
    root = mountLayers(lower)
    return openat2(root, path.replace(/^\/+/, ''), {
      flags: O_RDONLY | O_DIRECTORY,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    })
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw error
  } finally {
    if (root >= 0) closeFd(root)
  }
}

/** A read-only overlay of the layers that is attached nowhere. */
function mountLayers(lower: string[]): number {
  try {
    return mountOverlay((context) => {
      for (const layer of lower) fsconfigString(context, 'lowerdir+', layer)
    })
  } catch (error) {
    if (!hasCode(error, 'EINVAL')) throw error
    return mountNamedLayers(lower) // Linux before 6.7 has no `lowerdir+`
  }
}

/**
 * The layers by short links in the working directory: a value of fsconfig(2) has at most 255 bytes, which overlay
 * splits at colons. Room for some ninety layers.
 */
function mountNamedLayers(lower: string[]): number {
  const before = process.cwd()
  const directory = mkdtempSync(join(tmpdir(), 'hf-layers-'))
  try {
    const names = lower.map((layer, index) => {
      const name = index.toString(36)
      symlinkSync(layer, join(directory, name))
      return name
    })
    process.chdir(directory)
    return mountOverlay((context) => fsconfigString(context, 'lowerdir', names.join(':')))
  } finally {
    process.chdir(before)
    rmSync(directory, { recursive: true })
  }
}

function mountOverlay(addLayers: (context: number) => void): number {
  const context = fsopen('overlay')
  try {
    addLayers(context)
    fsconfigFlag(context, 'ro')
    fsconfigCreate(context)
    return fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
  } finally {
    closeFd(context)
  }
}
