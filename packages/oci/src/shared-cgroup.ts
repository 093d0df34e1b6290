/**
 * A cgroup in which others live already. runc 1.1 warns of it and goes on, later ones refuse it; engines that give two
 * containers one cgroup have only met the former. What is in there is never killed for one container's sake.
 */
import { hasCode } from '@holdfast/errors'
import { cgroupProcesses } from '@holdfast/shim/library'
import { isAlive, listIds, load, type Cgroup, type ContainerRecord } from './store.ts'

export const sharingWarning = (members: readonly number[]): string =>
  `container's cgroup is not empty: ${members.length} process(es) found; they share its limits`

/** The cgroups, those that another container of the root lives in as ones that stay. */
export function withoutOthers(root: string, record: ContainerRecord): Cgroup[] {
  const { cgroups } = record
  if (cgroupProcesses(cgroups).length === 0) return cgroups
  const paths = new Set(othersOf(root, record).flatMap((other) => other.cgroups.map(({ path }) => path)))
  return cgroups.map((cgroup) => (paths.has(cgroup.path) ? { ...cgroup, existed: true } : cgroup))
}

function othersOf(root: string, { id }: ContainerRecord): ContainerRecord[] {
  const found: ContainerRecord[] = []
  for (const other of listIds(root)) {
    if (other === id) continue
    try {
      found.push(load(root, other))
    } catch (error) {
      if (!hasCode(error, 'HF_CONTAINER_NOT_FOUND')) throw error // it has just been deleted
    }
  }
  return found.filter(isAlive)
}
