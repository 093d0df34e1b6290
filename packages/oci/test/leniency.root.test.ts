/** Configurations that engines write because runc takes them. */
import { afterAll, describe, expect, it } from 'vitest'
import { OciWorld, type Json } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('as with runc', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  const run = (script: string, change: (config: Json) => void) => {
    const id = world.id()
    const outcome = world.call(['run', '--bundle', world.bundle(['sh', '-c', script], change), id])
    expect(world.leftovers(id)).toEqual([])
    return outcome
  }

  it('relative paths are hidden and turned read-only from the root', () => {
    const outcome = run('wc -c < /etc/passwd; echo > /home/new || echo refused', (config) => {
      config.linux.maskedPaths = ['etc/passwd', '']
      config.linux.readonlyPaths = ['home']
    })
    expect(outcome.stdout).toBe('0\nrefused\n')
    expect(outcome.stderr).toContain('linux.maskedPaths[0] is not absolute')
  })

  it('the root is read-only where it is one of the read-only paths', () => {
    const outcome = run('echo > /new || echo refused', (config) => (config.linux.readonlyPaths = ['/']))
    expect(outcome.stdout).toBe('refused\n')
  })

  it('nodes can be made of every device, and opened of those alone that are allowed', () => {
    const outcome = run(
      'mknod /dev/k c 1 11 && mknod /dev/b b 7 0 && echo made; cat /dev/k || echo refused',
      (config) => {
        config.process.capabilities.bounding = ['CAP_MKNOD']
        config.process.capabilities.permitted = ['CAP_MKNOD']
        config.process.capabilities.effective = ['CAP_MKNOD']
      },
    )
    expect(outcome.stdout).toBe('made\nrefused\n')
  })

  it('run refuses a configuration without a process, which create takes', () => {
    const bundle = world.bundle([], (config) => delete config.process)
    const id = world.id()
    expect(world.call(['run', '--bundle', bundle, id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('process property must not be empty'),
    })
    expect(world.leftovers(id)).toEqual([])
    world.must(['create', '--bundle', bundle, id], { detached: true })
    world.must(['delete', id])
  })
})
