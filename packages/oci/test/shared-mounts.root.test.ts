/** A container whose mount namespace is another's, and which has a root all the same. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { umount } from '@holdfast/core'
import { afterAll, describe, expect, it } from 'vitest'
import { OciWorld, type Json } from './world.ts'

const without =
  (path?: string) =>
  (config: Json): void => {
    config.linux.namespaces = config.linux.namespaces.filter((each: Json) => each.type !== 'mount')
    if (path !== undefined) config.linux.namespaces.push({ type: 'mount', path })
  }

/** Mounts of this process's namespace at that very path. */
function mountsAt(path: string): number {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.filter((line) => line.split(' ')[4] === path).length
}

describe.skipIf(process.getuid?.() !== 0)('without a mount namespace of its own, a container', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())
  const own = readlinkSync('/proc/self/ns/mnt')

  it("has its root and its mounts in the caller's namespace, and takes them with it", async () => {
    writeFileSync(join(world.rootfs, 'mark'), '')
    const id = world.running(['sleep', '100'], without())
    expect(readlinkSync(`/proc/${world.state(id).pid}/ns/mnt`)).toBe(own)
    expect(mountsAt(join(world.rootfs, 'proc'))).toBe(1)
    const inside = world.must(['exec', id, 'sh', '-c', 'test -e /mark; echo $?; readlink /proc/self/ns/mnt'])
    expect(inside.split('\n').slice(0, 2)).toEqual(['0', own])
    expect(world.call(['exec', id, 'sh', '-c', ': > /proc/sys/kernel/hostname']).status).not.toBe(0) // read-only
    world.must(['kill', id, 'KILL'])
    await world.stopped(id)
    world.must(['delete', id])
    expect([mountsAt(world.rootfs), mountsAt(join(world.rootfs, 'proc'))]).toEqual([0, 0])
    expect(world.leftovers(id)).toEqual([])
  })

  it('leaves what lay at its root before', () => {
    const root = join(world.base, 'bound')
    mkdirSync(root)
    const script = [
      `mount --bind ${world.rootfs} ${root}`,
      `"$0" --root ${world.root} run --bundle "$1" "$2"`,
      `grep -c ' ${root} ' /proc/self/mountinfo`,
    ].join(' && ')
    const id = world.id()
    const bundle = world.bundle(['true'], (config) => {
      without()(config)
      config.root.path = root
    })
    const run = world.inNewMountNamespace(script, [bundle, id])
    expect(run).toMatchObject({ status: 0, stdout: '1\n' })
  })

  it('leaves alone what lies at its root in another mount namespace, from where it is deleted', () => {
    const id = world.running(['sleep', '100'], without())
    const script = [
      `mount --bind /etc ${world.rootfs}`,
      `"$0" --root ${world.root} delete --force "$1"`,
      `test ${world.rootfs} -ef /etc && echo same`,
    ].join(' && ')
    try {
      expect(world.inNewMountNamespace(script, [id])).toMatchObject({ status: 0, stdout: 'same\n' })
    } finally {
      while (mountsAt(world.rootfs) > 0) umount(world.rootfs, 2)
    }
    expect(world.leftovers(id)).toEqual([])
  })

  it('leaves no mount where its start fails behind them', () => {
    const id = world.id()
    const outcome = world.call(['create', '--bundle', world.bundle(['nowhere'], without()), id])
    expect(outcome.stderr).toContain('executable file not found')
    expect(mountsAt(world.rootfs)).toBe(0)
    expect(existsSync(join(world.rootfs, 'bin'))).toBe(true)
    expect(world.leftovers(id)).toEqual([])
  })

  it('has them in the namespace that it joins', async () => {
    const other = spawn('unshare', ['--mount', 'sh', '-c', 'echo; exec sleep 100'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    try {
      await once(other.stdout, 'data')
      const path = `/proc/${other.pid}/ns/mnt`
      const id = world.running(['sleep', '100'], without(path))
      expect(readlinkSync(`/proc/${world.state(id).pid}/ns/mnt`)).toBe(readlinkSync(path))
      expect(mountsAt(world.rootfs)).toBe(0)
      expect(world.must(['exec', id, 'readlink', '/proc/self/ns/mnt'])).toBe(`${readlinkSync(path)}\n`)
      world.must(['delete', '--force', id])
      expect(world.leftovers(id)).toEqual([])
    } finally {
      other.kill('SIGKILL')
    }
  })
})
