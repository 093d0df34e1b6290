import { describe, expect, it } from 'vitest'
import { parseCgroupLayout } from './host.ts'

const line = (mount: string, type: string, options: string) =>
  `30 23 0:26 / ${mount} rw,nosuid - ${type} ${type} ${options}\n`

describe('parseCgroupLayout', () => {
  it('takes a lone cgroup2 mount for v2', () => {
    const text = line('/', 'ext4', 'rw') + line('/sys/fs/cgroup', 'cgroup2', 'rw,nsdelegate')
    expect(parseCgroupLayout(text, (mount) => [`of ${mount}`])).toEqual({
      version: 2,
      mount: '/sys/fs/cgroup',
      controllers: ['of /sys/fs/cgroup'],
    })
  })

  it('passes over what a later mount hides', () => {
    const text =
      line('/sys/fs/cgroup', 'tmpfs', 'rw') +
      line('/sys/fs/cgroup/unified', 'cgroup2', 'rw') +
      line('/sys/fs/cgroup/memory', 'cgroup', 'rw,memory') +
      line('/sys/fs/cgroup', 'cgroup2', 'rw')
    expect(parseCgroupLayout(text, () => [])).toEqual({
      version: 2,
      mount: '/sys/fs/cgroup',
      controllers: [],
    })
  })

  it('takes hierarchies with a unified one beside them for v1', () => {
    const text =
      line('/sys/fs/cgroup/unified', 'cgroup2', 'rw') +
      line('/sys/fs/cgroup/memory', 'cgroup', 'rw,memory') +
      line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct') +
      line('/sys/fs/cgroup/systemd', 'cgroup', 'rw,xattr,name=systemd') +
      line('/mnt/memory\\040again', 'cgroup', 'rw,memory')
    expect(parseCgroupLayout(text, () => [])).toEqual({
      version: 1,
      hierarchies: [
        { controllers: ['memory'], mount: '/sys/fs/cgroup/memory' },
        { controllers: ['cpu', 'cpuacct'], mount: '/sys/fs/cgroup/cpu,cpuacct' },
        { controllers: ['name=systemd'], mount: '/sys/fs/cgroup/systemd' },
        { controllers: [], mount: '/sys/fs/cgroup/unified' },
      ],
    })
  })

  it('stays with v2 where a v1 hierarchy stands beside a tree that has the controllers', () => {
    const text = line('/sys/fs/cgroup', 'cgroup2', 'rw') + line('/opt/vpn/net_cls', 'cgroup', 'rw,net_cls')
    expect(parseCgroupLayout(text, () => ['cpu', 'memory', 'pids'])).toMatchObject({ version: 2 })
  })

  it('reads optional fields and escaped spaces', () => {
    const text = '36 35 98:0 / /a\\040b rw shared:1 master:2 - cgroup2 none rw\n'
    expect(parseCgroupLayout(text, () => [])).toMatchObject({ mount: '/a b' })
  })

  it('says so where no cgroup hierarchy is mounted', () => {
    expect(() => parseCgroupLayout(line('/', 'ext4', 'rw'), () => [])).toThrow(/no cgroup hierarchy/)
  })
})
