/** The container's mounts: the defaults, what was asked for, and the files that the engine writes. */
import { badRequest, unsupported } from './refuse.ts'
import { defaultMounts } from './default-mounts.ts'
import type { OciMount } from '@holdfast/plan'
import type { SpecInput, SpecMount } from './spec-input.ts'

export function mountsOf(input: SpecInput): OciMount[] {
  const asked = [...input.mounts.map((mount) => askedMount(mount, input)), ...tmpfsMounts(input)]
  const taken = new Set(asked.map((mount) => mount.destination))
  const files = engineFiles(input).filter((mount) => !taken.has(mount.destination))
  // A /dev of one's own means all of it.
  const replaced = (destination: string): boolean =>
    taken.has(destination) || (taken.has('/dev') && destination.startsWith('/dev/'))
  const defaults = defaultMounts(input).filter((mount) => !replaced(mount.destination))
  // What lies deeper comes later, or it would be covered; equal depths keep the order they were asked in.
  return [
    ...defaults,
    ...[...asked, ...files].toSorted((a, b) => depth(a.destination) - depth(b.destination)),
  ]
}

function depth(path: string): number {
  return path.split('/').filter(Boolean).length
}

function askedMount(mount: SpecMount, input: SpecInput): OciMount {
  if (mount.type === 'tmpfs') return tmpfs(mount.destination, mount.options, mount.readonly)
  const { source, subdir, destination, readonly, recursiveReadonly, recursive, propagation } = mount
  if (input.idRange && /shared/.test(propagation))
    throw unsupported(
      'HostConfig.Binds',
      `${destination} asks for ${propagation}, and a mount in another user namespace can only be a slave`,
      'Use --userns=host, or rslave.',
    )
  const options = [recursive ? 'rbind' : 'bind', propagation || 'rprivate']
  if (subdir !== '') options.push(`X-mount.subdir=${subdir}`)
  if (readonly) options.push(recursive && recursiveReadonly ? 'rro' : 'ro')
  return { destination, type: 'bind', source, options: [...options, ...idmap(input, recursive)] }
}

/** Owners on the host are the owners in the container: a bind is mapped by the container's user namespace. */
function idmap({ idRange }: SpecInput, recursive: boolean): string[] {
  return idRange ? [recursive ? 'ridmap' : 'idmap'] : []
}

/** `--tmpfs PATH[:OPTIONS]`. */
function tmpfsMounts({ hostConfig }: SpecInput): OciMount[] {
  return Object.entries(hostConfig.Tmpfs).map(([destination, text]) => {
    if (!destination.startsWith('/'))
      throw badRequest('HostConfig.Tmpfs', `invalid mount path: '${destination}' mount path must be absolute`)
    const options = text.split(',').filter((option) => option !== '')
    return tmpfs(destination, options, false)
  })
}

/** Flags that may be given, with what each takes back. */
const tmpfsFlags: Record<string, string> = {
  exec: 'noexec',
  noexec: 'exec',
  suid: 'nosuid',
  nosuid: 'suid',
  dev: 'nodev',
  nodev: 'dev',
  rw: 'ro',
  ro: 'rw',
  atime: 'noatime',
  noatime: 'atime',
  diratime: 'nodiratime',
  nodiratime: 'diratime',
  relatime: 'norelatime',
  norelatime: 'relatime',
  strictatime: 'nostrictatime',
  nostrictatime: 'strictatime',
  sync: 'async',
  async: 'sync',
  dirsync: '',
  mand: 'nomand',
  nomand: 'mand',
}

const tmpfsData = new Set(['size', 'mode', 'uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'])

/** Nothing can be executed, opened as a device, or gain rights in it, unless that is asked for. */
function tmpfs(destination: string, asked: string[], readonly: boolean): OciMount {
  let options = ['noexec', 'nosuid', 'nodev']
  for (const option of asked) {
    const [key = ''] = option.split('=', 1)
    const isFlag = Object.hasOwn(tmpfsFlags, option)
    if (!isFlag && !(option.includes('=') && tmpfsData.has(key)))
      throw badRequest('HostConfig.Tmpfs', `invalid tmpfs option ["${option}"]`)
    // The last one of a kind holds.
    options = options.filter(
      (other) => other !== option && other !== tmpfsFlags[option] && (isFlag || !other.startsWith(`${key}=`)),
    )
    options.push(option)
  }
  if (readonly) options = [...options.filter((option) => option !== 'rw'), 'ro']
  return { destination, type: 'tmpfs', source: 'tmpfs', options }
}

/** /etc/hosts, hostname and resolv.conf are the engine's, so that it can keep them up to date. */
function engineFiles(input: SpecInput): OciMount[] {
  const { files, hostConfig } = input
  const named = {
    '/etc/resolv.conf': files.resolvConf,
    '/etc/hostname': files.hostname,
    '/etc/hosts': files.hosts,
  }
  return Object.entries(named)
    .filter(([, source]) => source !== '')
    .map(([destination, source]) => ({
      destination,
      type: 'bind',
      source,
      options: ['bind', 'rprivate', hostConfig.ReadonlyRootfs ? 'ro' : 'rw', ...idmap(input, false)],
    }))
}
