/** The session keyring: the container's own, an exec's too, or the caller's. */
import { afterAll, describe, expect, it } from 'vitest'
import { OciWorld } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('the session keyring', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  /** Serial numbers of the keyrings of this container that a process of it, no root, possesses. */
  function keyrings(options: string[]): { own: string[]; ofExec: string[] } {
    const id = world.id()
    const bundle = world.bundle(['sleep', '100'], (config) => {
      config.process.user = { uid: 4711, gid: 4711 }
      config.linux.maskedPaths = []
    })
    world.must(['run', '--detach', ...options, '--bundle', bundle, id], { detached: true })
    const seen = (text: string) =>
      text.split('\n').flatMap((line) => (line.includes(`_ses.${id}`) ? [line.slice(0, 8)] : []))
    try {
      const read = () => seen(world.must(['exec', id, 'cat', '/proc/keys']))
      return { own: read(), ofExec: read() }
    } finally {
      world.must(['delete', '--force', id])
    }
  }

  it('is one for the container and all that is executed in it', () => {
    const { own, ofExec } = keyrings([])
    expect(own).toHaveLength(1)
    expect(ofExec).toEqual(own)
  })

  it("is the caller's with --no-new-keyring", () => {
    expect(keyrings(['--no-new-keyring'])).toEqual({ own: [], ofExec: [] })
  })
})
