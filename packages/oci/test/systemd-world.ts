/**
 * A systemd that believes to be a machine's init: PID 1 of a pid namespace, with mounts, a /run and a part of the
 * cgroup tree of its own, and no unit but what it is asked for.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { probeHost } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import type { Outcome } from './world.ts'

export const systemd = '/lib/systemd/systemd'
export const hasSystemd = existsSync(systemd)

/** Whether this machine has anything of that kind to give. */
export function hasCgroups(version: 1 | 2): boolean {
  return hierarchies(version).length > 0
}

/** Of v1 all, with v2's tree where it is beside them; of v2 the one. Name of the mount → its place, and options. */
function hierarchies(version: 1 | 2): { mount: string; type: string; options: string }[] {
  const { cgroup } = probeHost()
  const all = cgroup.version === 2 ? [{ mount: cgroup.mount, controllers: [] }] : cgroup.hierarchies
  const found = all.map(({ mount, controllers }) => ({
    mount,
    type: controllers.length === 0 ? 'cgroup2' : 'cgroup',
    options: controllers[0]?.startsWith('name=') ? `none,${controllers.join()}` : controllers.join() || 'rw',
  }))
  if (version === 2) return found.filter(({ type }) => type === 'cgroup2')
  return found.some(({ options }) => options === 'none,name=systemd') ? found : []
}

export class SystemdWorld {
  readonly #hierarchies: ReturnType<typeof hierarchies>
  readonly #name: string
  readonly #outer: ChildProcess
  readonly #pid: Promise<number>

  constructor(version: 1 | 2, base: string) {
    this.#hierarchies = hierarchies(version)
    this.#name = `hfoci-systemd-${process.pid}-${version}`
    const script = join(base, `boot-${version}`)
    writeFileSync(
      script,
      version === 2 ? boot(['mount -t cgroup2 none /sys/fs/cgroup']) : boot(this.#mounts()),
    )
    for (const { mount } of this.#hierarchies) makeCgroup(join(mount, this.#name))
    const joins = this.#hierarchies.map(({ mount }) => `echo $$ > ${mount}/${this.#name}/cgroup.procs`)
    const unshare = 'exec unshare -p -f -m -u -i -n -C --mount-proc --kill-child=KILL bash'
    const command = `set -e; ${joins.join('; ')}; ${unshare} ${script}`
    this.#outer = spawn('bash', ['-c', command], { stdio: 'ignore' })
    this.#pid = eventually(() => {
      const child = readFileSync(`/proc/${this.#outer.pid}/task/${this.#outer.pid}/children`, 'latin1').trim()
      return child !== '' && readFileSync(`/proc/${child}/comm`, 'latin1') === 'systemd\n' && Number(child)
    }, 15_000)
  }

  #mounts(): string[] {
    const each = this.#hierarchies.map(({ mount, type, options }) => {
      const at = `/sys/fs/cgroup/${basename(mount)}`
      return `mkdir ${at}; mount -t ${type} -o ${options} cgroup ${at}`
    })
    return ['mount -t tmpfs tmpfs /sys/fs/cgroup', ...each]
  }

  /** Its pid, once it takes requests. */
  async booted(): Promise<number> {
    const pid = await this.#pid
    await eventually(() => existsSync(`/proc/${pid}/root/run/systemd/private`), 15_000)
    // What started it leaves its cgroup: on v2 only leaves may have members.
    for (const { mount } of this.#hierarchies)
      writeFileSync(join(mount, 'cgroup.procs'), String(this.#outer.pid), { flag: 'r+' })
    return pid
  }

  async enter(command: string[]): Promise<Outcome> {
    const { status, stdout, stderr } = spawnSync(
      'nsenter',
      ['-t', String(await this.#pid), '-a', ...command],
      {
        encoding: 'utf8',
        timeout: 20_000,
      },
    )
    return { status, stdout, stderr }
  }

  /** `NAME=VALUE` lines as an object. */
  async show(unit: string, properties: readonly string[]): Promise<Record<string, string>> {
    const { stdout } = await this.enter(['systemctl', 'show', unit, '-p', properties.join()])
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/=(.*)/).slice(0, 2)),
    )
  }

  /** Cgroups and loaded units whose names have that in them. */
  async traces(of: string): Promise<string[]> {
    const cgroups = this.#hierarchies.flatMap(({ mount }) =>
      (readdirSync(join(mount, this.#name), { recursive: true }) as string[]).filter(
        (path) => basename(path).includes(of) && existsSync(join(mount, this.#name, path, 'cgroup.procs')),
      ),
    )
    const units = await this.enter(['systemctl', 'list-units', '--all', '--plain', '--no-legend', `*${of}*`])
    return [...cgroups, ...units.stdout.split('\n').filter(Boolean)]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#outer.kill('SIGKILL')
    const left = this.#hierarchies.map(({ mount }) => join(mount, this.#name))
    await eventually(() => left.every(removeCgroup), 10_000)
  }
}

function boot(cgroups: string[]): string {
  return `set -e
mount --make-rprivate /
umount -l /sys/fs/cgroup
${cgroups.join('\n')}
for at in /run /etc/systemd /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
  mkdir -p $at; mount -t tmpfs tmpfs $at
done
mkdir -p /run/systemd/system
printf '[Unit]\\nDefaultDependencies=no\\n' > /run/systemd/system/test.target
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin ${systemd} --system --unit=test.target --log-target=null
`
}

/** A v1 cpuset begins without any processor, and nothing can be in it then. */
function makeCgroup(path: string): void {
  mkdirSync(path)
  for (const file of ['cpuset.cpus', 'cpuset.mems'])
    if (existsSync(join(path, file)) && existsSync(join(path, 'tasks')))
      writeFileSync(join(path, file), readFileSync(join(path, '..', file)))
}

/** False while something is still in it. */
function removeCgroup(path: string): boolean {
  if (!existsSync(path)) return true
  try {
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory() && !removeCgroup(join(path, entry.name))) return false
    rmdirSync(path)
    return true
  } catch {
    return false
  }
}
