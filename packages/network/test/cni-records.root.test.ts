// What the plugin does without its records, or with ones that somebody damaged.
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { flock } from '@holdfast/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CniHost, port, publish } from './cni-fixture.ts'
import { fetchTcp } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const valid = (...ids: string[]) => ({
  'cni.dev/valid-attachments': ids.map((containerID) => ({ containerID, ifname: 'eth0' })),
})

/** Of the one network that there is. */
function recordOf(id: string): string {
  const [boot] = readdirSync(host.cni)
  return join(host.cni, boot!, 'net1/attachments', `${id}:eth0`)
}

const damaged: [string, string][] = [
  ['that is empty', ''],
  ['that is no JSON', '\0{'],
  ['that was cut off', '{"containerId":"c1","interface":"eth0"\n'],
  ['of another shape', '{"containerId":"c1","interface":"eth0","addresses":"10.77.0.1","ports":5}\n'],
  ['that is a list', '[]\n'],
]

describe.skipIf(process.getuid?.() !== 0)('a record', { timeout: 60_000 }, () => {
  it.each(damaged)('%s: DEL and GC leave nothing, and ADD attaches anew', async (_, text) => {
    const netns = host.namespace()
    const config = host.config(publish(port(8080)))
    for (const undo of ['DEL', 'GC', 'ADD'] as const) {
      await host.succeed('ADD', { netns, config })
      writeFileSync(recordOf('c1'), text)
      if (undo === 'GC') await host.succeed('GC', { config: { ...config, ...valid() } })
      if (undo === 'ADD') await host.succeed('ADD', { netns, config })
      if (undo !== 'GC') await host.succeed('DEL', { netns, config })
      expect(await host.leftovers()).toEqual([])
    }
  })

  it('that is lost costs a living container none of its ports when others are collected', async () => {
    const netns = host.namespace()
    const config = host.config(publish(port(8080)))
    await host.succeed('ADD', { netns, config })
    await host.succeed('ADD', { id: 'gone', netns: host.namespace(), config: host.config() })
    await host.serve(netns, 'web', 80)
    rmSync(recordOf('c1'))
    await host.succeed('GC', { config: host.config(valid('c1')) })
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    expect((await host.leftovers()).join()).not.toContain('gone')
  })
})

describe.skipIf(process.getuid?.() !== 0)('CHECK', { timeout: 60_000 }, () => {
  it('of an attachment that is being taken down waits, and publishes nothing again', async () => {
    const netns = host.namespace()
    const config = host.config(publish(port(8080)))
    const prevResult = await host.succeed('ADD', { netns, config })
    const held = openSync(recordOf('c1'), 'r+') // as a DEL does that is under way
    flock(held, 'exclusive')
    await host.run('nft flush map inet hf-cni publish4_any')
    const check = host.fail('CHECK', { netns, config: { ...config, prevResult } })
    await host.succeed('STATUS', { config }) // long enough for a CHECK that does not wait
    rmSync(recordOf('c1'))
    closeSync(held)
    expect((await check).msg).toBe('there is no such attachment')
    expect(await host.run('nft list map inet hf-cni publish4_any')).not.toContain('8080')
  })
})

describe.skipIf(process.getuid?.() !== 0)('a state directory', { timeout: 60_000 }, () => {
  it('that cannot be made: ADD says why and leaves nothing, DEL and GC have nothing to undo', async () => {
    const netns = host.namespace()
    const places = { file: join(host.stateDir, 'file'), nowhere: join(host.stateDir, 'nowhere') }
    writeFileSync(places.file, '')
    symlinkSync('/proc/1', places.nowhere)
    for (const [place, message] of [
      [places.file, 'ENOTDIR'],
      [join(places.nowhere, 'x'), 'ENOENT'],
    ]) {
      const config = host.config({ stateDir: place })
      const error = await host.fail('ADD', { netns, config })
      expect([error.code, error.msg]).toEqual([5, expect.stringContaining(message!)])
    }
    const config = host.config({ stateDir: places.file })
    await host.succeed('DEL', { netns, config })
    await host.succeed('GC', { config: { ...config, ...valid() } })
    expect(await host.run('ip -o link')).not.toContain('cni0')
  })

  it('on a full disk: ADD leaves nothing, DEL works, and both again when there is room', async () => {
    const small = join(host.stateDir, 'small')
    mkdirSync(small)
    const netns = host.namespace()
    await host.run(`mount -t tmpfs -o size=64k tmpfs ${small}`)
    try {
      const config = host.config({ stateDir: join(small, 'cni'), ...publish(port(8080)) })
      await host.succeed('ADD', { netns, config })
      await host.run(`head -c 100k /dev/zero > ${small}/fill || true`)
      expect(
        await host.fail('ADD', {
          id: 'c2',
          netns: host.namespace(),
          config: host.config({ stateDir: join(small, 'cni') }),
        }),
      ).toMatchObject({
        code: 5,
        details: expect.stringContaining('full'),
      })
      await host.succeed('DEL', { netns, config })
      await host.run(`rm ${small}/fill`)
      await host.succeed('ADD', { netns, config })
      await host.succeed('DEL', { netns, config })
      expect(await host.leftovers()).toEqual([])
      expect(await host.run(`find ${small} -path '*/attachments/*' -o -name '10.*'`)).toBe('')
    } finally {
      await host.run(`umount ${small}`)
    }
  })
})

describe.skipIf(process.getuid?.() !== 0)('GC', { timeout: 60_000 }, () => {
  it('takes no attachment that is named by halves for an unknown one', async () => {
    await host.succeed('ADD', { netns: host.namespace() })
    for (const named of [
      {},
      { containerID: 'c1' },
      { ifname: 'eth0' },
      { containerID: '', ifname: 'eth0' },
    ]) {
      const config = host.config({ 'cni.dev/valid-attachments': [named] })
      expect(await host.fail('GC', { config })).toMatchObject({
        code: 7,
        msg: expect.stringContaining('is missing'),
      })
    }
    expect((await host.leftovers()).join()).toContain('c1:eth0')
  })
})

describe.skipIf(process.getuid?.() !== 0)('a subnet that another network had', { timeout: 60_000 }, () => {
  const other = () => host.config({ name: 'net2', bridge: 'cni1', ...publish(port(8081)) })

  it.each([
    ['its bridge was removed', 'ip link del cni0'],
    ['nobody asked for its end', 'true'],
  ])('is the next one’s, where %s', async (_, end) => {
    await host.succeed('ADD', { netns: host.namespace(), config: host.config(publish(port(8080))) })
    await host.succeed('DEL', { config: host.config(publish(port(8080))) })
    await host.run(end)
    const netns = host.namespace()
    await host.succeed('ADD', { id: 'c2', netns, config: other() })
    await host.serve(netns, 'web', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8081)).toBe('web 10.77.0.1')
    expect(await host.run('ip -o link; nft list ruleset')).not.toContain('cni0')
    await host.succeed('GC', { config: { ...other(), ...valid() } })
    expect(await host.run('nft list ruleset')).toBe('')
  })

  it('and has still is refused, with its bridge, and nothing is left', async () => {
    await host.succeed('ADD', { netns: host.namespace(), config: host.config() })
    const before = await host.run('ip -o link | cut -d" " -f2; nft list ruleset')
    expect(await host.fail('ADD', { id: 'c2', netns: host.namespace(), config: other() })).toMatchObject({
      code: 100,
      msg: "subnet 10.77.0.0/24 is cni0's already",
    })
    expect(await host.run('ip -o link | cut -d" " -f2; nft list ruleset')).toBe(before)
  })
})
