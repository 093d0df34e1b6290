import {
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chownSync,
  existsSync,
} from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Step } from '@holdfast/plan'
import { ExecutorWorld, hostRoot } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

const all = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_ADMIN',
  'CAP_SYS_CHROOT',
]
const asAdmin: Step = { do: 'capabilities', effective: all, permitted: all, inheritable: [], ambient: [] }
const bind = (as: string, source: string, more: Partial<Step & { do: 'stage-bind' }> = {}): Step => ({
  do: 'stage-bind',
  as,
  source,
  recursive: true,
  attributes: { set: {}, clear: [] },
  ...more,
})
const attach = (staged: string, target: string, kind: 'directory' | 'file' | 'source' = 'source'): Step => ({
  do: 'attach',
  staged,
  target,
  kind,
})
const tmpfs = (target: string, options: [string, string?][] = []): Step => ({
  do: 'mount',
  type: 'tmpfs',
  source: 'tmpfs',
  target,
  attributes: {},
  options,
})

describe('a bind', () => {
  const data = world.path('data')
  beforeAll(() => {
    mkdirSync(data)
    writeFileSync(`${data}/file`, 'host\n')
    chownSync(data, hostRoot, hostRoot)
  })

  it('that is read-only stays so for a root with CAP_SYS_ADMIN in its user namespace', async () => {
    const readonly = {
      attributes: { set: { readonly: true }, clear: [], recursive: { set: { readonly: true }, clear: [] } },
    }
    const { output } = await world.run({
      staged: [bind('data', data, readonly)],
      mounts: [attach('data', '/data')],
      last: [asAdmin],
      args: [
        'sh',
        '-c',
        'touch /data/x; mount -o remount,bind,rw /data; touch /data/y; umount /data; touch /data/z; ' +
          'mkdir /other; mount -o bind /data /other; mount -o remount,bind,rw /other; touch /other/w; true',
      ],
    })
    expect(readdirSync(data)).toEqual(['file'])
    expect(output).toContain('Read-only file system')
  })

  it('that is writable is written, by ids of the container', async () => {
    await world.run({
      staged: [bind('data', data)],
      mounts: [attach('data', '/data')],
      args: ['sh', '-c', 'echo new > /data/written'],
    })
    expect(statSync(`${data}/written`).uid).toBe(hostRoot)
    rmSync(`${data}/written`)
  })

  it('that is idmapped keeps the owners of the host', async () => {
    const shared = world.path('shared')
    mkdirSync(shared)
    chownSync(shared, 1000, 1000)
    const { output } = await world.run({
      staged: [bind('shared', shared, { idmap: 'userns' })],
      mounts: [attach('shared', '/shared')],
      args: ['sh', '-c', 'stat -c %u /shared; touch /shared/mine'],
    })
    expect(output).toBe('1000\n')
    expect(statSync(`${shared}/mine`).uid).toBe(0)
  })

  it('of a file lands on a file that is made for it', async () => {
    const { output } = await world.run({
      staged: [bind('file', `${data}/file`, { expect: 'file' })],
      mounts: [attach('file', '/deep/er/file')],
      args: ['cat', '/deep/er/file'],
    })
    expect(output).toBe('host\n')
  })

  it.each([
    ['a directory', 'file' as const, '/tmp', 'EISDIR'],
    ['a file', 'directory' as const, '/bin/busybox', 'ENOTDIR'],
    ['another device', { type: 'c' as const, major: 1, minor: 5 }, '/dev/null', 'ENODEV'],
  ])('whose source turns out to be %s is refused', async (_, expectation, source, code) => {
    const plan = world.plan({ staged: [bind('x', source, { recursive: false, expect: expectation })] })
    await expect(world.create(plan)).rejects.toMatchObject({ code })
  })

  it('does not follow the host: a mount made later does not appear, and none of ours leaks out', async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8')
    const live = await world.create(
      world.plan({ staged: [bind('data', data)], mounts: [attach('data', '/data')] }),
    )
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before)
    await live.process.door.open()
    await live.finish()
  })
})

describe('a file system', () => {
  it('of memory starts with what the image has there', async () => {
    const { output } = await world.run({
      mounts: [
        {
          do: 'mount',
          type: 'tmpfs',
          source: 'tmpfs',
          target: '/etc',
          attributes: {},
          options: [],
          copyUp: true,
        },
      ],
      args: [
        'sh',
        '-c',
        'grep -c root /etc/passwd; echo changed > /etc/passwd; cat /etc/passwd; grep " /etc " /proc/mounts',
      ],
    })
    expect(output).toMatch(/^1\nchanged\ntmpfs \/etc tmpfs/)
    expect(readFileSync(`${world.rootfs}/etc/passwd`, 'utf8')).toContain('root')
  })

  it('has the attributes that were asked for, each', async () => {
    const { output } = await world.run({
      mounts: [
        {
          do: 'mount',
          type: 'tmpfs',
          source: 'scratch',
          target: '/mnt',
          options: [
            ['size', '64k'],
            ['mode', '0700'],
          ],
          attributes: {
            readonly: true,
            nosuid: true,
            nodev: true,
            noexec: true,
            atime: 'noatime',
            nodiratime: true,
            nosymfollow: true,
          },
        },
      ],
      args: ['grep', '/mnt', '/proc/mounts'],
    })
    expect(output).toMatch(
      /^scratch \/mnt tmpfs ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow,size=64k,mode=700/,
    )
  })

  it('with an option that the kernel does not know is refused by its name', async () => {
    const plan = world.plan({ mounts: [tmpfs('/mnt', [['nonsense', '1']])] })
    await expect(world.create(plan)).rejects.toMatchObject({
      code: 'EINVAL',
      syscall: 'fsconfig',
      path: 'nonsense',
    })
  })

  it('staged read-only is read-only for its container for good, with its mount points made', async () => {
    const { output } = await world.run({
      staged: [
        {
          do: 'stage-readonly',
          staged: 'root',
          uid: hostRoot,
          gid: hostRoot,
          mountPoints: ['/proc', '/dev', '/new/point'].map((path) => ({ path, kind: 'directory' as const })),
        },
      ],
      mounts: [tmpfs('/new/point')],
      last: [asAdmin],
      args: [
        'sh',
        '-c',
        'touch /x; mount -o remount,bind,rw /; touch /y; stat -c %u /new; touch /new/point/ok && echo fine',
      ],
    })
    expect(output).toContain('Read-only file system')
    expect(output).toMatch(/0\nfine\n$/)
  })

  it('staged as a device works where mknod is refused', async () => {
    const { output } = await world.run({
      staged: [
        {
          do: 'stage-device',
          as: 'full',
          device: { type: 'c', major: 1, minor: 7 },
          mode: 0o666,
          uid: hostRoot,
          gid: hostRoot,
        },
      ],
      mounts: [attach('full', '/dev/full', 'file')],
      args: ['sh', '-c', 'stat -c %F:%u /dev/full; echo x > /dev/full'],
    })
    expect(output).toContain('character special file:0\n')
    expect(output).toContain('No space left on device')
  })

  it('has nodes and links where the container may make them', async () => {
    const { output } = await world.run({
      namespaces: ['mnt', 'pid'],
      mounts: [
        {
          do: 'mknod',
          path: '/dev/mine',
          device: { type: 'c', major: 1, minor: 3 },
          mode: 0o640,
          uid: 5,
          gid: 6,
        },
        {
          do: 'mknod',
          path: '/dev/mine',
          device: { type: 'c', major: 1, minor: 3 },
          mode: 0o640,
          uid: 5,
          gid: 6,
        },
        { do: 'mknod', path: '/dev/fifo', device: { type: 'p' }, mode: 0o600, uid: 0, gid: 0 },
        { do: 'symlink', path: '/dev/fd', target: '/proc/self/fd', ifExists: '/proc/self/fd' },
        { do: 'symlink', path: '/dev/core', target: '/proc/kcore', ifExists: '/proc/nonsense' },
        { do: 'mkdir', path: '/a/b', mode: 0o700 },
      ],
      args: ['sh', '-c', 'cd /dev; stat -c "%F %a %u %g" mine fifo; readlink fd; ls core; stat -c %a /a/b'],
    })
    expect(output).toBe(
      'character special file 640 5 6\nfifo 600 0 0\n/proc/self/fd\nls: core: No such file or directory\n700\n',
    )
  })

  it('has no node in the way of another device', async () => {
    const node = (minor: number): Step => ({
      do: 'mknod',
      path: '/dev/x',
      device: { type: 'c', major: 1, minor },
      mode: 0o600,
      uid: 0,
      gid: 0,
    })
    const plan = world.plan({ namespaces: ['mnt', 'pid'], mounts: [node(3), node(5)] })
    await expect(world.create(plan)).rejects.toMatchObject({
      code: 'EEXIST',
      hint: 'Another file is at this path in the image.',
    })
  })
})

describe('a root', () => {
  it('is entered by chroot where it is asked for', async () => {
    const plan = world.plan({
      args: ['sh', '-c', 'ls -d /bin /work /stage 2>&1; grep -c . /proc/mounts >/dev/null && echo ok'],
    })
    for (const step of plan.steps) if (step.do === 'pivot') step.method = 'chroot'
    const live = await world.create(plan)
    await live.process.door.open()
    const { output } = await live.finish()
    expect(output).toContain('/bin\n')
    expect(output).toContain('ok')
    expect(output).toContain('ls: /work: No such file')
  })

  it("of the host is the container's where it has no mount namespace of its own", async () => {
    const { output } = await world.run({
      namespaces: ['pid', 'net', 'uts'],
      args: ['readlink', '/proc/self/ns/mnt'],
    })
    expect(output.trim()).toBe(readlinkSync('/proc/self/ns/mnt'))
  })

  it('has its layers named by path where the kernel takes no descriptors', async () => {
    const plan = world.plan({ args: ['sh', '-c', 'stat -c %u /bin/busybox; touch /new && echo ok'] })
    for (const step of plan.steps) if (step.do === 'stage-overlay') step.method = 'path'
    const live = await world.create(plan)
    await live.process.door.open()
    expect((await live.finish()).output).toBe('0\nok\n')
  })
})

describe('masks and read-only paths', () => {
  it('hide files behind the null device and directories behind nothing', async () => {
    const { output } = await world.run({
      after: [
        { do: 'mask', path: '/proc/kcore' },
        { do: 'mask', path: '/proc/meminfo' },
        { do: 'mask', path: '/home' },
        { do: 'mask', path: '/www' },
        { do: 'mask', path: '/not/there' },
        { do: 'readonly-path', path: '/proc/sys' },
        { do: 'readonly-path', path: '/not/there' },
      ],
      last: [
        {
          do: 'capabilities',
          effective: ['CAP_DAC_OVERRIDE'],
          permitted: ['CAP_DAC_OVERRIDE'],
          inheritable: [],
          ambient: [],
        },
        { do: 'bounding-set', keep: ['CAP_DAC_OVERRIDE'] },
      ].toReversed() as Step[],
      args: [
        'sh',
        '-c',
        'cat /proc/meminfo | wc -c; ls -A /home /www; touch /home/x /www/x; echo 1 > /proc/sys/net/ipv4/ip_forward; ' +
          'umount /home; cat /proc/meminfo | wc -c',
      ],
    })
    expect(output).toMatch(/^0\n\/home:\n\n\/www:\n/)
    expect(output.match(/Read-only file system/g)).toHaveLength(3)
    expect(output).toMatch(/umount: .*not permitted\n0\n$/)
  })

  it('come undone by nobody: /dev/null must be the device', async () => {
    const plan = world.plan({
      mounts: [tmpfs('/dev')], // hides the null device that was attached there
      after: [{ do: 'mask', path: '/etc/passwd' }],
    })
    await expect(world.create(plan)).rejects.toMatchObject({ code: 'ENOENT', path: '/dev/null' })
  })
})

describe('a hostile image', () => {
  const outside = world.path('outside')
  const hostile = (path: string, target: string): void => {
    rmSync(`${world.rootfs}/${path}`, { recursive: true, force: true })
    symlinkSync(target, `${world.rootfs}/${path}`)
  }
  beforeAll(() => mkdirSync(outside))
  const up = '../../../../../../..'

  it.each(['proc', 'dev', 'sys'])(
    'with a link at /%s is refused, and nothing is written where it leads',
    async (name) => {
      hostile(name, `${up}${outside}`)
      try {
        const plan = world.plan({
          mounts: [
            { do: 'mount', type: 'sysfs', source: 'sysfs', target: '/sys', attributes: {}, options: [] },
          ],
        })
        await expect(world.create(plan)).rejects.toMatchObject({ code: 'ELOOP' })
      } finally {
        rmSync(`${world.rootfs}/${name}`)
      }
      expect(readdirSync(outside)).toEqual([])
    },
  )

  it('with links at mount points, absolute or not, keeps everything inside its root', async () => {
    hostile('abs', outside)
    hostile('rel', `${up}${outside}`)
    const source = world.path('source')
    mkdirSync(source)
    writeFileSync(`${source}/seen`, '')
    chownSync(source, hostRoot, hostRoot) // its `sub` is made in it
    // A link that leads nowhere inside the root is made to lead somewhere, in there.
    const made = await world.run({
      staged: [bind('source', source)],
      mounts: [attach('source', '/abs')],
      args: ['ls', outside],
    })
    expect(made.output).toContain('seen')
    expect(readdirSync(outside)).toEqual([])
    mkdirSync(`${world.rootfs}${outside}`, { recursive: true })
    const inside = await world.run({
      staged: [bind('source', source)],
      mounts: [attach('source', '/abs'), attach('source', '/rel/sub')],
      args: ['ls', outside, `${outside}/sub`],
    })
    expect(inside.output).toContain('seen')
    expect(readdirSync(outside)).toEqual([])
    for (const name of ['abs', 'rel', outside.split('/')[1]!])
      rmSync(`${world.rootfs}/${name}`, { recursive: true, force: true })
    mkdirSync(`${world.rootfs}/tmp`, { recursive: true })
  })

  it('with a link at a masked path gets no write outside', async () => {
    hostile('secret', `${up}/proc/sys/kernel/hostname`)
    const { output } = await world.run({
      after: [{ do: 'mask', path: '/secret' }],
      args: ['cat', '/proc/sys/kernel/hostname'],
    })
    expect(output).toBe('') // the container's own, masked through the link, and nothing of the host
    expect(readFileSync('/proc/sys/kernel/hostname', 'utf8').trim()).not.toBe('')
    rmSync(`${world.rootfs}/secret`)
  })

  it('with a working directory that leads out by /proc/self/fd is refused', async () => {
    for (const path of ['/proc/self/fd/4', '/proc/self/cwd', '/proc/1/root']) {
      const plan = world.plan({ last: [{ do: 'chdir', path, create: false }] })
      await expect(world.create(plan), path).rejects.toMatchObject({ code: 'ELOOP' })
    }
  })

  it('cannot reach the launcher: it is sealed, and closed to its own root', async () => {
    const live = await world.create(world.plan({ args: ['sleep', '100'] }))
    expect(() => writeFileSync(`/proc/${live.process.init.pid}/exe`, 'x', { flag: 'r+' })).toThrow(
      /ETXTBSY|EPERM|EACCES/,
    )
    const exec = await world.exec(live.container, [
      { do: 'join-process', pidfd: 'pidfd', namespaces: ['user', 'mnt', 'pid'] },
      { do: 'become-root' },
      { do: 'clone', namespaces: [], keep: [] },
      { do: 'stdio', stdin: 'stdin', stdout: 'stdout', stderr: 'stderr' },
      { do: 'door' },
      {
        do: 'exec',
        args: ['sh', '-c', 'ls /proc/1/fd; readlink /proc/1/exe /proc/1/root; true'],
        env: ['PATH=/bin'],
        init: false,
      },
    ])
    await exec.process.door.open()
    expect((await exec.finish()).output).toMatch(/^ls: can't open '\/proc\/1\/fd': Permission denied\n/)
    await live.process.door.open()
    live.kill(9)
    await live.finish()
    expect(existsSync(`${world.rootfs}/bin/busybox`)).toBe(true)
  })
})
