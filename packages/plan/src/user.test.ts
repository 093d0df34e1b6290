import { expect, it } from 'vitest'
import { resolveGroups, resolveUser } from './user.ts'

const passwd =
  'root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\nweb:x:33:34::/srv/www:\n7:x:1007:1008::/seven:\n'
const group = 'root:x:0:\nwww:x:34:\nadm:x:4:root,web\nlog:x:5: web\n'

it("runs as root with root's own groups when no user is named", () => {
  expect(resolveUser('', passwd, group)).toEqual({ uid: 0, gid: 0, groups: [0, 4], home: '/root' })
  expect(resolveUser('', null, null)).toEqual({ uid: 0, gid: 0, groups: [0], home: '/' })
})

it('looks a name up, with its primary group first among its groups', () => {
  expect(resolveUser('web', passwd, group)).toEqual({
    uid: 33,
    gid: 34,
    groups: [34, 4, 5],
    home: '/srv/www',
  })
})

it('takes a number that has an entry as that user, and one that has none as it is', () => {
  expect(resolveUser('33', passwd, group)).toEqual(resolveUser('web', passwd, group))
  expect(resolveUser('1000', passwd, group)).toEqual({ uid: 1000, gid: 0, groups: [0], home: '/' })
})

it('prefers the first entry that matches by name or number', () => {
  expect(resolveUser('7', passwd, group).uid).toBe(1007)
})

it('takes a group given by hand alone', () => {
  expect(resolveUser('web:adm', passwd, group)).toEqual({ uid: 33, gid: 4, groups: [4], home: '/srv/www' })
  expect(resolveUser('1000:1000', passwd, group).groups).toEqual([1000])
})

it('refuses names that are not there, and ids that wrap', () => {
  expect(() => resolveUser('nobody', passwd, group)).toThrow(
    'unable to find user nobody: no matching entries',
  )
  expect(() => resolveUser('web:none', passwd, group)).toThrow('unable to find group none')
  expect(() => resolveUser('4294967296', passwd, group)).toThrow('in range 0-2147483647')
  expect(() => resolveUser('-1', passwd, group)).toThrow('in range')
  expect(() => resolveUser('evil', 'evil:x:4294967296:0::/:\n', null)).toThrow('in range')
})

it('resolves additional groups by name and number', () => {
  expect(resolveGroups(['adm', '77'], group)).toEqual([4, 77])
  expect(() => resolveGroups(['none'], group)).toThrow('unable to find group none')
})
