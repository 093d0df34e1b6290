/**
 * One container exchanges a directory of a shared volume with a symbolic link to the host, without a pause, while others
 * are started that mount something beneath it, work in it, or take it for a part of the volume (CVE-2021-30465,
 * CVE-2024-45310).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HostConfig } from '../src/engine/container-config.ts'
import { EngineWorld } from './engine-world.ts'

const program = fileURLToPath(new URL('./exchange-loop.ts', import.meta.url))

/** How long each kind of start is tried; more for a thorough look. */
const seconds = Number(process.env['HOLDFAST_RACE_SECONDS'] ?? 1.5)

describe.skipIf(process.getuid?.() !== 0)(
  'a directory that turns into a link to the host again and again',
  () => {
    let world: EngineWorld
    let canary: string
    let shared: string
    let other: string
    let loop: ChildProcess

    beforeAll(async () => {
      world = await EngineWorld.open()
      const umask = process.umask(0o022)
      canary = join(world.root, 'canary')
      other = join(world.root, 'other')
      for (const path of [canary, other]) mkdirSync(path)
      writeFileSync(join(canary, 'secret'), 'of the host\n')
      writeFileSync(join(other, 'secret'), 'of another volume\n')
      shared = (await world.engine.createVolume('shared', {})).mountpoint
      mkdirSync(join(shared, 'directory'))
      writeFileSync(join(shared, 'directory/secret'), 'of the volume\n')
      symlinkSync(`${'../'.repeat(20)}${canary.slice(1)}`, join(shared, 'link'))
      process.umask(umask)
      loop = spawn(
        process.execPath,
        ['--conditions=@holdfast/source', program, shared, 'directory', 'link'],
        {
          env: {},
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      await once(loop.stdout!, 'data')
    })
    afterAll(async () => {
      loop?.kill('SIGKILL')
      await world?.[Symbol.asyncDispose]()
    })

    /** What the host can tell: nothing was made in the directory that the link leads to, and nothing mounted on it. */
    const traces = (): unknown[] => [
      readdirSync(canary),
      readFileSync(join(canary, 'secret'), 'latin1'),
      statSync(canary).ctimeMs,
      readFileSync('/proc/self/mountinfo', 'latin1').includes(canary),
    ]

    const volume = (Target: string, Subpath = ''): HostConfig['Mounts'][number] => ({
      Type: 'volume',
      Source: 'shared',
      Target,
      ReadOnly: false,
      ...(Subpath !== '' && { VolumeOptions: { Subpath } }),
    })

    it.each([
      [
        'mounts beneath it',
        (): Partial<HostConfig> => ({ Mounts: [volume('/v')], Binds: [`${other}:/v/directory/deep/er`] }),
      ],
      [
        'a mount on it',
        (): Partial<HostConfig> => ({ Mounts: [volume('/v')], Binds: [`${other}:/v/directory`] }),
      ],
      [
        'a part of the volume',
        (): Partial<HostConfig> => ({ Mounts: [volume('/v/directory', 'directory')] }),
      ],
      ['a working directory', (): Partial<HostConfig> => ({ Mounts: [volume('/v')] })],
    ])('lets no container out: %s', { timeout: 120_000 }, async (_, hostOf) => {
      const before = traces()
      const deadline = performance.now() + seconds * 1000
      const outcomes = { ran: 0, refused: 0 }
      for (let nth = 0; performance.now() < deadline || outcomes.ran === 0; nth++) {
        const host = { ...hostOf(), ...(nth % 2 === 1 && { UsernsMode: 'host' }) }
        const id = await world
          .create('cat /v/directory/secret secret; pwd', host, { WorkingDir: '/v/directory' })
          .catch(() => '')
        if (id === '') continue // the part of a volume was a link out of it at that moment
        try {
          await world.engine.start(id)
          await world.exit(id)
          expect(await world.output(id)).not.toContain('of the host')
          outcomes.ran++
        } catch (error) {
          expect(String(error)).toMatch(/E[A-Z]+|escapes from its volume|cannot access path/)
          outcomes.refused++
        }
        await world.engine.remove(id, { force: true, volumes: false })
        expect(traces()).toEqual(before)
      }
      if (process.env['HOLDFAST_RACE_SECONDS']) console.log(outcomes)
    })
  },
)
