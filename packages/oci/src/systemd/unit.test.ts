import { describe, expect, it } from 'vitest'
import { scopeUnit } from './unit.ts'

describe('the scope that linux.cgroupsPath names', () => {
  it.each([
    [undefined, 'holdfast-oci-c1.scope', '/system.slice'],
    ['', 'holdfast-oci-c1.scope', '/system.slice'],
    [':docker:abc', 'docker-abc.scope', '/system.slice'],
    ['-.slice:cri:abc', 'cri-abc.scope', ''],
    ['a-b-c.slice::abc', 'abc.scope', '/a.slice/a-b.slice/a-b-c.slice'],
    [
      'kubepods-besteffort-pod1_2.slice:cri-containerd:9f',
      'cri-containerd-9f.scope',
      '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice',
    ],
  ])('%s', (path, name, slice) => {
    expect(scopeUnit(path, 'c1')).toMatchObject({ name, path: `${slice}/${name}` })
  })

  it.each([
    '/a/b',
    'a:b',
    'a:b:c:d',
    'a:b:c',
    'a--b.slice:b:c',
    '.slice:b:c',
    'a/..slice:b:c',
    'a.slice:b:',
    'a.slice:b:x/y',
    'a.slice:b:c.slice',
  ])('is refused where it is %s', (path) => {
    expect(() => scopeUnit(path, 'c1')).toThrow('linux.cgroupsPath')
  })
})
