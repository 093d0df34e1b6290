/** Two containers in one cgroup: said, and neither is the other's to kill. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { OciWorld, plannersOf, type Json } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('a container in a cgroup that others live in', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  const into = (other: string) => (config: Json) => (config.linux.cgroupsPath = `/${other}`)
  const cgroupsOf = (id: string) => readFileSync(`/proc/${world.state(id).pid}/cgroup`, 'latin1')

  /** Its standard streams outlive the call, so that they go to files. */
  function joined(other: string, change: (config: Json) => void = () => {}) {
    const id = world.id()
    const log = join(world.base, `${id}.log`)
    const bundle = world.bundle(['sleep', '100'], (config) => {
      into(other)(config)
      change(config)
    })
    world.call(['--log', log, 'create', '--bundle', bundle, id], { detached: true })
    return { id, log: existsSync(log) ? readFileSync(log, 'utf8') : '' }
  }

  it('is made, with a warning', () => {
    const first = world.running(['sleep', '100'])
    const { id, log } = joined(first)
    expect(log).toContain('level=warning msg="container\'s cgroup is not empty: 1 process(es) found')
    expect(cgroupsOf(id)).toBe(cgroupsOf(first))
    for (const each of [id, first]) world.must(['delete', '--force', each])
    expect(world.leftovers(first)).toEqual([])
  })

  it('survives the end of the one that made the cgroup, and takes it along at its own', () => {
    const first = world.running(['sleep', '100'])
    const { id } = joined(first)
    world.must(['delete', '--force', first])
    expect(world.status(id)).toBe('created')
    world.must(['start', id])
    expect(world.leftovers(first)).not.toEqual([])
    world.must(['delete', '--force', id])
    expect(world.leftovers(first)).toEqual([])
  })

  it('leaves the others alone where a hook fails', () => {
    const first = world.running(['sleep', '100'])
    const failed = joined(first, (config) => (config.hooks = { createRuntime: [{ path: '/bin/false' }] }))
    expect(failed.log).toContain('createRuntime hook #0')
    expect(world.leftovers(failed.id)).toEqual([])
    expect(world.status(first)).toBe('running')
    world.must(['delete', '--force', first])
  })

  it.each(['createRuntime', 'poststart'])(
    'leaves them alone where its caller is killed at a %s hook',
    async (kind) => {
      const first = world.running(['sleep', '100'])
      const marker = join(world.base, kind)
      const id = world.id()
      const bundle = world.bundle(['sleep', '100'], (config) => {
        into(first)(config)
        const args = ['sh', '-c', `cat > ${marker}.new; mv ${marker}.new ${marker}; exec sleep 3`]
        config.hooks = { [kind]: [{ path: '/bin/sh', args, env: ['PATH=/bin:/usr/bin'] }] }
      })
      const front = world.start(['run', '--bundle', bundle, id])
      await eventually(() => existsSync(marker))
      const { pid } = JSON.parse(readFileSync(marker, 'utf8')) as Json
      front.kill('SIGKILL')
      await eventually(() => world.leftovers(id).length === 0 && !existsSync(`/proc/${pid}/exe`))
      expect(world.status(first)).toBe('running')
      world.must(['delete', '--force', first])
      expect(plannersOf(world.root).length).toBeLessThan(2)
    },
  )
})
