/** Hooks: their order, where they run, and what they are told (config.md#posix-platform-hooks). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { OciWorld, type Json } from './world.ts'

const onHost = ['prestart', 'createRuntime', 'createContainer', 'poststart', 'poststop']

describe.skipIf(process.getuid?.() !== 0)('hooks', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('run in order, each once, with the state of that moment', async () => {
    const log = join(world.base, 'log')
    const script = (kind: string, file: string) =>
      `{ echo "${kind} $(readlink /proc/self/ns/mnt) $A"; cat; echo; } >> ${file}`
    const id = world.create(['sh', '-c', 'echo program >> /out/log; exec sleep 100'], (config) => {
      config.annotations = { 'org.example': 'x' }
      config.mounts.push({ destination: '/out', type: 'bind', source: world.base, options: ['bind'] })
      config.hooks = Object.fromEntries(
        onHost.map((kind) => [
          kind,
          [{ path: '/bin/sh', args: ['sh', '-c', script(kind, log)], env: ['A=1', 'PATH=/bin:/usr/bin'] }],
        ]),
      )
      config.hooks.startContainer = [
        {
          path: '/bin/sh',
          args: ['sh', '-c', script('startContainer', '/out/log')],
          env: ['A=1', 'PATH=/bin'],
        },
      ]
    })
    const { pid } = world.state(id)
    expect(lines(log).map(({ kind }) => kind)).toEqual(['prestart', 'createRuntime', 'createContainer'])
    world.must(['start', id])
    await eventually(() => readFileSync(log, 'utf8').includes('program'))
    world.must(['delete', '--force', id])

    const all = lines(log)
    const kinds = all.map(({ kind }) => kind)
    expect(kinds.slice(0, 4)).toEqual(['prestart', 'createRuntime', 'createContainer', 'startContainer'])
    expect(kinds.at(-1)).toBe('poststop')
    expect(kinds.slice(4, -1).toSorted()).toEqual(['poststart', 'program'])
    const hooks = Object.fromEntries(all.map((each) => [each.kind, each]))
    const own = process.getuid?.() === 0 ? hooks['prestart']!.mnt : ''
    for (const kind of ['createRuntime', 'poststart', 'poststop']) expect(hooks[kind]!.mnt).toBe(own)
    expect(hooks['createContainer']!.mnt).not.toBe(own)
    expect(hooks['startContainer']!.mnt).toBe(hooks['createContainer']!.mnt)
    for (const kind of [...onHost, 'startContainer']) {
      expect(hooks[kind]!.state).toMatchObject({
        ociVersion: '1.2.0',
        id,
        annotations: { 'org.example': 'x' },
      })
      expect(hooks[kind]!.variable).toBe('1')
    }
    expect(hooks['prestart']!.state).toMatchObject({ status: 'creating', pid })
    expect(hooks['createContainer']!.state).toMatchObject({ status: 'creating', pid: 1 })
    expect(hooks['startContainer']!.state).toMatchObject({ status: 'created', pid: 1 })
    expect(hooks['poststart']!.state).toMatchObject({ status: 'running', pid })
    expect(hooks['poststop']!.state).toMatchObject({ status: 'stopped' })
    expect(hooks['poststop']!.state.pid).toBeUndefined()
  })

  it('of poststop run for a create that failed, and one that fails stops none', () => {
    const log = join(world.base, 'poststop')
    const id = world.id()
    const bundle = world.bundle(['true'], (config) => {
      config.hooks = {
        createRuntime: [{ path: '/bin/false' }],
        poststop: [
          { path: '/bin/false' },
          { path: '/bin/sh', args: ['sh', '-c', `cat > ${log}`], env: ['PATH=/bin:/usr/bin'] },
        ],
      }
    })
    const outcome = world.call(['create', '--bundle', bundle, id])
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('createRuntime hook #0') })
    expect(outcome.stderr).toContain('level=warning')
    expect(JSON.parse(readFileSync(log, 'utf8'))).toMatchObject({ id, status: 'stopped' })
    expect(world.leftovers(id)).toEqual([])
  })
})

interface Line {
  kind: string
  mnt: string
  variable: string
  state: Json
}

function lines(path: string): Line[] {
  const text = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return text.flatMap((line, at) => {
    if (line.startsWith('{')) return []
    const [kind = '', mnt = '', variable = ''] = line.split(' ')
    const next = text[at + 1] ?? ''
    return [{ kind, mnt, variable, state: next.startsWith('{') ? (JSON.parse(next) as Json) : undefined }]
  })
}
