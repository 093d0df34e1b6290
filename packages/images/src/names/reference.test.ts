import { describe, expect, it } from 'vitest'
import {
  familiarName,
  familiarReference,
  fullReference,
  parseReference,
  withDefaultTag,
} from './reference.ts'

const hex64 = 'dbcc1c35ac38df41fd2f5e4130b32ffdb93ebae8b3dbe638c23575912276fc9c'

describe('parseReference', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox', 'busybox'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36', 'busybox:1.36'],
    ['library/busybox', 'docker.io/library/busybox', 'busybox'],
    ['docker.io/busybox', 'docker.io/library/busybox', 'busybox'],
    ['index.docker.io/library/busybox:x', 'docker.io/library/busybox:x', 'busybox:x'],
    ['foo/bar', 'docker.io/foo/bar', 'foo/bar'],
    ['docker.io/library/a/b', 'docker.io/library/a/b', 'library/a/b'],
    ['localhost/foo', 'localhost/foo', 'localhost/foo'],
    ['localhost:5000/a/b:1', 'localhost:5000/a/b:1', 'localhost:5000/a/b:1'],
    ['UPPER/foo', 'UPPER/foo', 'UPPER/foo'],
    ['[2001:db8::1]:5000/foo:t', '[2001:db8::1]:5000/foo:t', '[2001:db8::1]:5000/foo:t'],
    ['192.168.1.1/foo', '192.168.1.1/foo', '192.168.1.1/foo'],
    [
      'xn--7o8h.com/myimage:xn--7o8h.com',
      'xn--7o8h.com/myimage:xn--7o8h.com',
      'xn--7o8h.com/myimage:xn--7o8h.com',
    ],
    ['a__b/c_d.e---f', 'docker.io/a__b/c_d.e---f', 'a__b/c_d.e---f'],
    ['foo_bar.com:8080', 'docker.io/library/foo_bar.com:8080', 'foo_bar.com:8080'],
    [`busybox@sha256:${hex64}`, `docker.io/library/busybox@sha256:${hex64}`, `busybox@sha256:${hex64}`],
    [`a/b:t@sha256:${hex64}`, `docker.io/a/b:t@sha256:${hex64}`, `a/b:t@sha256:${hex64}`],
  ])('reads %s', (text, full, familiar) => {
    const reference = parseReference(text)
    expect(fullReference(reference)).toBe(full)
    expect(familiarReference(reference)).toBe(familiar)
    expect(parseReference(familiarReference(reference))).toEqual(reference)
  })

  it.each([
    ['', 'invalid reference format'],
    [':justtag', 'invalid reference format'],
    [`@sha256:${hex64}`, 'invalid reference format'],
    ['repo@sha256:ffff', 'invalid reference format'],
    [`repo@sha256:${hex64.slice(2)}`, 'invalid checksum digest format'],
    [`repo@sha256:${hex64.toUpperCase()}`, 'invalid checksum digest format'],
    [`validname@invaliddigest:${hex64}${hex64}`, 'unsupported digest algorithm: invaliddigest'],
    [`validname@constructor:${hex64}`, 'unsupported digest algorithm: constructor'],
    ['Uppercase:tag', 'invalid reference format: repository name (library/Uppercase) must be lowercase'],
    ['test:5000/Uppercase/lowercase:tag', 'repository name (Uppercase/lowercase) must be lowercase'],
    [hex64, 'cannot specify 64-byte hexadecimal strings'],
    [`${'a/'.repeat(128)}a:tag`, 'repository name must not be more than 255 characters'],
    ['a/'.repeat(600), 'invalid reference format'],
    ['aa/asdf$$^/aa', 'invalid reference format'],
    ['foo//bar', 'invalid reference format'],
    ['-foo/bar', 'invalid reference format'],
    ['foo/bar-', 'invalid reference format'],
    ['foo.-bar', 'invalid reference format'],
    ['a___b', 'invalid reference format'],
    ['-test.com/foo', 'invalid reference format'],
    ['[fe80::1%eth0]:5000/repo', 'invalid reference format'],
    ['busybox:-x', 'invalid reference format'],
    [`busybox:${'x'.repeat(129)}`, 'invalid reference format'],
    ['busybox\0', 'invalid reference format'],
    ['busybox latest', 'invalid reference format'],
    ['busybox:a:b', 'invalid reference format'],
  ])('refuses %j', (text, message) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'HF_INVALID_REFERENCE', message: expect.stringContaining(message) }),
    )
  })

  it('takes linear time on names made to make a regular expression backtrack', () => {
    const timed = (): number => {
      const started = performance.now()
      expect(() => parseReference(`${'a-'.repeat(200)}!`)).toThrow()
      return performance.now() - started
    }
    expect(Math.min(...Array.from({ length: 10 }, timed))).toBeLessThan(100) // the best: others may be using this machine
  })
})

it('adds :latest only where there is neither tag nor digest', () => {
  expect(familiarReference(withDefaultTag(parseReference('busybox')))).toBe('busybox:latest')
  expect(familiarReference(withDefaultTag(parseReference('busybox:1')))).toBe('busybox:1')
  expect(familiarReference(withDefaultTag(parseReference(`busybox@sha256:${hex64}`)))).toContain(
    'busybox@sha256:',
  )
  expect(familiarName(parseReference('busybox:1'))).toBe('busybox')
})
