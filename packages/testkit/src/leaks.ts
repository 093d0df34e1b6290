import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processesIn } from './processes-in.ts'

/** Whose leftovers are looked for. */
export interface LeakSearch {
  /** The instance's name: links, nftables tables, cgroups and processes that bear it are its own. */
  instance: string
  /** The instance's directory: mounts, sockets and processes that name it are its own. */
  root: string
}

/**
 * What is left on the machine of an instance that should be gone: processes, mounts, links, nftables tables and
 * cgroups, one sentence each. The caller's own process is not counted.
 */
export function findLeaks({ instance, root }: LeakSearch): string[] {
  return [
    ...processes(root, instance),
    ...mounts(root),
    ...links(instance),
    ...nftablesTables(instance),
    ...cgroups(instance),
  ]
}

function processes(root: string, instance: string): string[] {
  const found: string[] = []
  const holders = new Set(processesIn(root))
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    const commandLine = readProc(entry, 'cmdline').replaceAll('\0', ' ').trim()
    const cgroup = readProc(entry, 'cgroup')
    if (commandLine.includes(root) || cgroup.includes(`/${instance}/`) || holders.has(entry)) {
      found.push(`process ${entry}: ${commandLine || readProc(entry, 'comm').trim()}`)
    }
  }
  return found
}

/** '' where the process has gone in the meantime. */
function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

function mounts(root: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => (line.split(' ')[4]?.startsWith(`${root}/`) ? [`mount at ${line.split(' ')[4]}`] : []))
}

function links(instance: string): string[] {
  const all = JSON.parse(execFileSync('ip', ['-j', '-d', 'link'], { encoding: 'utf8' })) as {
    ifname: string
    ifalias?: string
    master?: string
  }[]
  return all
    .filter((link) => [link.ifname, link.ifalias, link.master].some((text) => text?.includes(instance)))
    .map((link) => `link ${link.ifname}`)
}

function nftablesTables(instance: string): string[] {
  return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(instance))
    .map((line) => `nftables ${line}`)
}

function cgroups(instance: string): string[] {
  const mountPoints = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '')
  return mountPoints
    .map((mount) => join(mount, instance))
    .filter(existsSync)
    .map((path) => `cgroup ${path}`)
}
