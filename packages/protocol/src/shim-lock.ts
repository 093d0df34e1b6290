/**
 * Permissions of `shim.lock` once its container was deleted: there is nothing to hold for a shim that waited for the
 * lock or comes later, and nothing to take down. The file stays until the directory goes, or the later one would make
 * another. Takes no room on a full disk.
 */
export const deletedLockMode = 0

/** Whether a lock file of these permissions (`stat`'s `mode`) says that its container was deleted. */
export function isDeletedLock(mode: number): boolean {
  return (mode & 0o777) === deletedLockMode
}
