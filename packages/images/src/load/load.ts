/** An archive of images, of whatever kind: `docker save`'s old and new, or an OCI layout. */
import { HoldfastError } from '@holdfast/errors'
import type { StoreDirectories } from '../directories.ts'
import type { Platform, ReadyImage } from '../task/task.ts'
import type { Stores } from './assemble.ts'
import { loadDockerArchive, loadLegacyArchive } from './docker-archive.ts'
import { Members } from './members.ts'
import { loadOciLayout } from './oci-layout.ts'

/** Blobs and layers are in place when it returns; records are the caller's. */
export async function loadArchive(
  source: AsyncIterable<Buffer>,
  platform: Platform,
  stores: Stores & { directories: StoreDirectories },
): Promise<ReadyImage[]> {
  const members = await Members.read(source, stores.directories)
  // `docker save` of today writes both; `manifest.json` is the one that docker reads.
  if (members.get('manifest.json')) return loadDockerArchive(members, stores)
  if (members.get('index.json')) return loadOciLayout(members, platform, stores)
  if (members.get('repositories')) return loadLegacyArchive(members, stores)
  throw new HoldfastError(
    'HF_CORRUPT_LAYER',
    'the archive has neither manifest.json, index.json nor repositories',
    {
      hint: 'A file system as a tar is no image yet: use import.',
    },
  )
}
