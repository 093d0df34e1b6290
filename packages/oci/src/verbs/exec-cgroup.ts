/** `exec --cgroup`: which of the container's cgroups the process joins. */
import { existsSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { usage } from '../front-end/options.ts'
import type { Cgroup, ContainerRecord } from '../store.ts'

/**
 * Each of `asked` is `PATH`, or on cgroup v1 `CONTROLLER[,CONTROLLER]:PATH`; paths lie beneath the container's own
 * cgroup, and exist.
 */
export function execCgroups({ cgroups, cgroupVersion }: ContainerRecord, asked: readonly string[]): Cgroup[] {
  if (asked.length === 0) return cgroups
  const paths = asked.map((each) => split(each, cgroupVersion))
  const known = cgroups.flatMap(({ controllers }) => controllers.map(bare))
  for (const { controllers } of paths) {
    const unknown = controllers?.find((controller) => !known.includes(controller))
    if (unknown !== undefined) throw usage(`unknown controller ${unknown} in SubCgroupPaths`)
  }
  return cgroups.map((cgroup) => {
    const own = paths.find(({ controllers }) =>
      controllers?.some((each) => cgroup.controllers.map(bare).includes(each)),
    )
    const path = (own ?? paths.find(({ controllers }) => controllers === undefined))?.path
    return path === undefined ? cgroup : { ...cgroup, path: beneath(cgroup, path) }
  })
}

/** `name=systemd` is asked for as `systemd`. */
const bare = (controller: string): string => controller.replace(/^name=/, '')

function split(text: string, version: 1 | 2): { controllers?: string[]; path: string } {
  const colon = text.indexOf(':')
  if (colon < 0) return { path: text }
  if (version === 2) throw usage(`invalid --cgroup argument: ${text} (cgroup v2 has no controllers to name)`)
  return { controllers: text.slice(0, colon).split(','), path: text.slice(colon + 1) }
}

function beneath({ path }: Cgroup, part: string): string {
  const full = normalize(join(path, part))
  if (full !== path && !full.startsWith(`${path}/`)) throw usage(`${part} is not a sub cgroup path`)
  const trimmed = full.replace(/\/$/, '')
  if (!existsSync(trimmed))
    throw usage(`adding pid to cgroups: open ${trimmed}/cgroup.procs: no such file or directory`)
  return trimmed
}
