/** The verbs beside the lifecycle: limits, usage, what the program says of itself, and what it refuses. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeHost } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld, type Json } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('the command line', () => {
  const world = new OciWorld()
  const { cgroup } = probeHost()
  let id = ''
  beforeAll(() => {
    id = world.running(['sleep', '1000'], (config) => (config.linux.resources.pids = { limit: 20 }))
  })
  afterAll(() => world[Symbol.dispose]())

  const pidsMax = () => {
    const mount =
      cgroup.version === 2
        ? cgroup.mount
        : cgroup.hierarchies.find((each) => each.controllers.includes('pids'))!.mount
    return readFileSync(join(mount, id, 'pids.max'), 'latin1').trim()
  }

  it('updates limits from options, a file and standard input', () => {
    expect(pidsMax()).toBe('20')
    world.must(['update', '--pids-limit', '30', id])
    expect(pidsMax()).toBe('30')
    expect(
      world.call(['update', '--resources', '-', id], { input: '{"pids":{"limit":40},"devices":[]}' }).status,
    ).toBe(0)
    expect(pidsMax()).toBe('40')
    const bad = world.call(['update', '--resources', '-', id], { input: '{"pids":{"limit":"x"}}' })
    expect(bad).toMatchObject({ status: 1, stderr: expect.stringContaining('resources.pids.limit') })
    expect(world.call(['update', '--pids-limit', 'x', id]).status).toBe(1)
    expect(world.call(['update', '--l3-cache-schema', 'x', id]).stderr).toContain('Intel RDT')
    expect(pidsMax()).toBe('40')
  })

  it('takes no processes for no limit where the container is of an older specification', () => {
    const old = world.running(['sleep', '1000'], (config) => {
      config.ociVersion = '1.0.2'
      config.linux.resources.pids = { limit: 20 }
    })
    world.must(['update', '--pids-limit', '0', old])
    expect(JSON.parse(world.must(['events', '--stats', old])).data.pids.limit).toBe(20)
    world.must(['delete', '--force', old])
  })

  it('has the exit statuses that are known of runc', () => {
    expect(world.call(['frobnicate'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining("No help topic for 'frobnicate'"),
    })
    expect(world.call(['exec']).status).toBe(1)
    expect(world.call(['exec', 'nonsense', 'true']).status).toBe(255)
  })

  it('tells the usage once, or again and again until the container stops', async () => {
    const once = JSON.parse(world.must(['events', '--stats', id])) as Json
    expect(once).toMatchObject({
      type: 'stats',
      id,
      data: { pids: { current: 1, limit: 40 }, cpu: { usage: { total: expect.any(Number) } } },
    })
    const child = world.start(['events', '--interval', '20ms', id])
    let text = ''
    child.stdout!.on('data', (chunk) => (text += String(chunk)))
    await eventually(() => text.split('\n').length > 2)
    child.kill()
  })

  it('says what it can, as features.md has it', () => {
    const features = JSON.parse(world.must(['features'])) as Json
    expect(features).toMatchObject({
      ociVersionMin: '1.0.0',
      ociVersionMax: '1.3.0',
      linux: { cgroup: { v1: true, v2: true, systemd: true } },
    })
    for (const version of [features.ociVersionMin, features.ociVersionMax]) {
      const made = world.create(['true'], (config) => (config.ociVersion = version))
      world.must(['delete', made])
    }
    expect(world.must(['--version'])).toMatch(
      /^holdfast-oci version \d+\.\d+\.\d+\n(commit: .*\n)?spec: 1\.3\.0\n$/,
    )
  })

  it('writes an example that it reads, and none over another', () => {
    const directory = join(world.base, 'spec')
    mkdirSync(directory)
    world.must(['spec', '--bundle', directory])
    expect(existsSync(join(directory, 'config.json'))).toBe(true)
    expect(world.call(['spec', '--bundle', directory]).stderr).toContain('exists')
  })

  it.each([
    [['checkpoint', '--image-path=/i', 'x'], 'checkpoint is not supported, nor with --image-path'],
    [['restore', 'x'], 'restore is not supported'],
    [['create', '--nonsense', 'x'], 'flag provided but not defined: -nonsense'],
    [['state', '--nonsense', 'x'], 'flag provided but not defined: -nonsense'],
    [['--nonsense', 'list'], 'flag provided but not defined: -nonsense'],
    [['kill', 'x', 'NONSENSE'], 'unknown signal'],
    [['state'], 'argument'],
    [['delete'], 'argument'],
  ])('refuses %j', (args, message) => {
    expect(world.call(args)).toMatchObject({ status: 1, stderr: expect.stringContaining(message) })
  })

  it('helps', () => {
    expect(world.must(['--help'])).toContain('USAGE')
    expect(world.must(['create', '--help'])).toContain('--bundle')
    expect(world.must(['state', '--help'])).toContain('state <container-id>')
  })

  it('calls itself as it was called, for who puts it in the place of another', () => {
    const link = join(world.base, 'runc')
    symlinkSync(executable, link)
    const say = (...args: string[]) => spawnSync(link, args, { encoding: 'utf8' }).stdout
    expect(say('--help')).toMatch(/^NAME:\n   runc - Open Container Initiative runtime\n/)
    expect(say('list', '-h')).toMatch(/^NAME:\n   runc list - /)
    expect(say('--version')).toMatch(/^runc version /)
  })

  it('logs its steps with --debug, in the words that are looked for', () => {
    const log = join(world.base, 'debug.log')
    const text = () => readFileSync(log, 'utf8')
    world.must(['--debug', '--log', log, 'run', '--bundle', world.bundle(['true']), world.id()])
    for (const words of ['nsexec container setup', 'child process in init()', 'init: closing the pipe'])
      expect(text()).toMatch(new RegExp(`level=debug msg="${words.replace(/[()]/g, '.')}`))
    world.must(['--debug', '--log', log, 'exec', id, 'true'])
    expect(text()).toContain('setns_init: about to exec')
  })
})
