import { describe, expect, it } from 'vitest'

import { parseCommandLine } from '../command-line.ts'
import { createBody } from './create-body.ts'
import { createFlags, runFlags } from './flags.ts'
import { parsePort, publishedPorts } from './ports.ts'

const body = (...argv: string[]): any =>
  createBody(parseCommandLine(argv, [...createFlags, ...runFlags], { stopAtFirstArgument: true }))

describe('createBody', () => {
  it('takes the command from behind the image, with its own flags', () => {
    expect(body('--rm', 'busybox', 'ls', '-l')).toMatchObject({
      Image: 'busybox',
      Cmd: ['ls', '-l'],
      HostConfig: { AutoRemove: true },
    })
    expect(body('busybox').Cmd).toBeNull()
  })
  it('attaches to stdin only with -i, and to nothing with -d', () => {
    expect(body('-it', 'x')).toMatchObject({ AttachStdin: true, OpenStdin: true, StdinOnce: true, Tty: true })
    expect(body('-d', '-i', 'x')).toMatchObject({ AttachStdout: false, OpenStdin: true, StdinOnce: false })
    expect(() => body('-a', 'out', 'x')).toThrow('invalid stream "out"')
  })
  it('clears the entrypoint with an empty one, and leaves the image’s without', () => {
    expect(body('--entrypoint', '', 'x').Entrypoint).toEqual([''])
    expect('Entrypoint' in body('x')).toBe(false)
  })
  it('reads sizes, CPUs and limits', () => {
    const { HostConfig } = body(
      '-m',
      '64m',
      '--cpus',
      '1.5',
      '--memory-swap=-1',
      '--ulimit',
      'nofile=10:20',
      '--pids-limit=7',
      'x',
    )
    expect(HostConfig).toMatchObject({ Memory: 64 << 20, NanoCpus: 1.5e9, MemorySwap: -1, PidsLimit: 7 })
    expect(HostConfig.Ulimits).toEqual([{ Name: 'nofile', Soft: 10, Hard: 20 }])
    expect(() => body('-m', 'lots', 'x')).toThrow('invalid size "lots"')
  })
  it('reads mounts and tmpfs', () => {
    const { HostConfig } = body(
      '--mount',
      'type=bind,src=/a,dst=/b,ro',
      '--tmpfs',
      '/t:size=1m',
      '-v',
      '/x:/y:ro',
      'x',
    )
    expect(HostConfig.Mounts).toEqual([{ Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true }])
    expect(HostConfig.Tmpfs).toEqual({ '/t': 'size=1m' })
    expect(HostConfig.Binds).toEqual(['/x:/y:ro'])
    expect(() => body('--mount', 'type=bind,foo=1', 'x')).toThrow("unexpected key 'foo'")
  })
  it('takes a relative bind source from the working directory', () => {
    expect(body('-v', './d:/y', 'x').HostConfig.Binds).toEqual([`${process.cwd()}/d:/y`])
    expect(body('-v', './a b/é%20:/y:ro', 'x').HostConfig.Binds).toEqual([`${process.cwd()}/a b/é%20:/y:ro`])
  })

  it('refuses a clock that cannot be shifted', () => {
    expect(body('--time-offset', 'boottime=-5', 'x').HostConfig.TimeOffsets).toEqual({ boottime: -5 })
    expect(() => body('--time-offset', 'realtime=5', 'x')).toThrow('invalid time offset "realtime=5"')
    expect(() => body('--time-offset', 'boottime=soon', 'x')).toThrow('invalid time offset')
  })
})

describe('ports', () => {
  it.each([
    ['80', { hostIp: '', host: undefined, container: [80, 80], protocol: 'tcp' }],
    ['8080:80', { hostIp: '', host: [8080, 8080], container: [80, 80], protocol: 'tcp' }],
    [
      '127.0.0.1:8080:80/udp',
      { hostIp: '127.0.0.1', host: [8080, 8080], container: [80, 80], protocol: 'udp' },
    ],
    ['127.0.0.1::80', { hostIp: '127.0.0.1', host: undefined, container: [80, 80], protocol: 'tcp' }],
    ['[::1]:8080:80', { hostIp: '::1', host: [8080, 8080], container: [80, 80], protocol: 'tcp' }],
    ['8000-8002:80-82', { hostIp: '', host: [8000, 8002], container: [80, 82], protocol: 'tcp' }],
    ['0:80', { hostIp: '', host: [0, 0], container: [80, 80], protocol: 'tcp' }],
    ['8000-8010:80', { hostIp: '', host: [8000, 8010], container: [80, 80], protocol: 'tcp' }],
  ])('reads %s', (text, expected) => {
    expect(parsePort(text)).toEqual(expected)
  })
  it('binds each port of a range, and leaves the choice in a range to the engine', () => {
    expect(publishedPorts(['8000-8001:80-81', '9000-9010:90'])).toEqual({
      '80/tcp': [{ HostIp: '', HostPort: '8000' }],
      '81/tcp': [{ HostIp: '', HostPort: '8001' }],
      '90/tcp': [{ HostIp: '', HostPort: '9000-9010' }],
    })
  })
  it.each(['', 'http', '70000:80', '80:90-91', '8001-8000:80', '80:0', '0:80:90:100'])(
    'refuses %j',
    (text) => {
      expect(() => parsePort(text)).toThrow(/invalid port|differ in size/)
    },
  )
})
