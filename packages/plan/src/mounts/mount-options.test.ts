import { describe, expect, it } from 'vitest'
import { parseMountOptions } from './mount-options.ts'
import { refusal } from '../minimal.test-support.ts'

const parse = (options: string[], type = 'tmpfs') => parseMountOptions(type, options, 'mounts[0]')

describe('mount options', () => {
  it('keeps flags apart from what the file system is told', () => {
    const { attributes, data } = parse(['nosuid', 'noexec', 'nodev', 'mode=755', 'size=64m', 'huge'])
    expect(attributes.set).toEqual({ nosuid: true, noexec: true, nodev: true })
    expect(data).toEqual([['mode', '755'], ['size', '64m'], ['huge']])
  })

  it('may come joined by commas, but for those of a value', () => {
    expect(parse(['mode=755,size=64m,', 'lowerdir=/a\\,b:/c', 'context="s0:c1,c2",huge']).data).toEqual([
      ['mode', '755'],
      ['size', '64m'],
      ['lowerdir', '/a\\,b:/c'],
      ['context', '"s0:c1,c2"'],
      ['huge'],
    ])
  })

  it('lets the last of two contrary options hold', () => {
    expect(parse(['ro', 'rw']).attributes).toEqual({ set: {}, clear: ['readonly'] })
    expect(parse(['rw', 'ro']).attributes).toEqual({ set: { readonly: true }, clear: [] })
  })

  it.each([
    ['noatime', 'noatime'],
    ['strictatime', 'strictatime'],
    ['relatime', 'relatime'],
    ['nostrictatime', 'relatime'],
  ])('sets access times by %s to %s', (option, atime) => {
    expect(parse([option]).attributes.set.atime).toBe(atime)
  })

  it.each([
    ['rro', { set: { readonly: true }, clear: [] }],
    ['rrw', { set: {}, clear: ['readonly'] }],
    ['rnosuid', { set: { nosuid: true }, clear: [] }],
    ['rsuid', { set: {}, clear: ['nosuid'] }],
    ['rnoexec', { set: { noexec: true }, clear: [] }],
    ['rexec', { set: {}, clear: ['noexec'] }],
    ['rnodev', { set: { nodev: true }, clear: [] }],
    ['rnosymfollow', { set: { nosymfollow: true }, clear: [] }],
    ['rnoatime', { set: { atime: 'noatime' }, clear: [] }],
    ['rnodiratime', { set: { nodiratime: true }, clear: [] }],
    ['rrelatime', { set: { atime: 'relatime' }, clear: [] }],
  ])('applies %s to the whole tree', (option, recursive) => {
    expect(parse(['rbind', option], 'bind').attributes).toEqual({ set: {}, clear: [], recursive })
  })

  it.each(['private', 'shared', 'slave', 'unbindable'])(
    'reads %s propagation, and its recursive form',
    (value) => {
      expect(parse([value]).propagation).toEqual({ value, recursive: false })
      expect(parse([`r${value}`]).propagation).toEqual({ value, recursive: true })
    },
  )

  it('takes bind from the options or from the type', () => {
    expect(parse(['bind'], '').bind).toBe('top')
    expect(parse(['rbind'], 'none').bind).toBe('recursive')
    expect(parse([], 'bind').bind).toBe('top')
  })

  it('takes a part of a bind by its relative path', () => {
    expect(parse(['rbind', 'X-mount.subdir=a/b'], 'bind')).toMatchObject({ subdir: 'a/b', data: [] })
    expect(() => parse(['X-mount.subdir=a'])).toThrow('X-mount.subdir, which is for bind mounts alone')
    expect(() => parse(['bind', 'X-mount.subdir=/a'])).toThrow('mounts[0].options[1] must name a path')
    expect(() => parse(['bind', 'X-mount.subdir='])).toThrow('relative to the source')
  })

  it('passes superblock flags to a new file system and says that a bind ignores them', () => {
    expect(parse(['sync', 'lazytime']).data).toEqual([['sync'], ['lazytime']])
    expect(parse(['rbind', 'sync'], 'bind')).toMatchObject({ data: [], ignored: ['sync'] })
    expect(parse(['mand', 'defaults']).ignored).toEqual(['mand'])
  })

  it.each([
    [['tmpcopyup'], 'proc'],
    [['idmap'], 'tmpfs'],
    [['=x'], 'tmpfs'],
  ])('refuses %s for %s', (options, type) => {
    expect(refusal(() => parse(options, type)).code).toBe('HF_INVALID_CONFIG')
  })
})
