/** What a container has when nothing was asked for, as the kernel shows it from inside: Docker's defaults, tightened. */
import { readlinkSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineWorld } from './engine-world.ts'

const types = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

describe.skipIf(process.getuid?.() !== 0).each([
  ['with ids of its own', ''],
  ['with the ids of the host', 'host'],
])('a container %s', (_, UsernsMode) => {
  let world: EngineWorld
  let id: string
  beforeAll(async () => {
    world = await EngineWorld.open()
    id = await world.start('sleep 1000', { UsernsMode, NetworkMode: 'bridge' })
  })
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  })
  const inside = async (script: string, user = ''): Promise<string> =>
    (await world.exec(id, script, { user })).output

  it('has fourteen capabilities in three sets, and a user of it has none until a file grants some', async () => {
    const sets = (own: string): string =>
      ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']
        .map((set, at) => `Cap${set}:\t${['0', own, own, 'a80425fb', '0'][at]!.padStart(16, '0')}\n`)
        .join('')
    expect(await inside('grep ^Cap /proc/self/status; grep ^Cap /proc/1/status')).toBe(
      sets('a80425fb').repeat(2),
    )
    expect(await inside('grep ^Cap /proc/self/status', 'user')).toBe(sets('0'))
    expect(await inside('grep ^Seccomp: /proc/self/status')).toBe('Seccomp:\t2\n')
  })

  it('has file systems that run nothing and give no rights, and writes neither sysfs nor cgroups', async () => {
    const mounts = Object.fromEntries(
      (await inside('cat /proc/self/mountinfo'))
        .split('\n')
        .map((line) => [line.split(' ')[4], line.split(' ')[5]]),
    )
    expect(mounts).toMatchObject({
      '/proc': 'rw,nosuid,nodev,noexec,relatime',
      '/dev': 'rw,nosuid',
      '/dev/pts': 'rw,nosuid,noexec,relatime',
      '/dev/shm': 'rw,nosuid,nodev,noexec,relatime',
      '/dev/mqueue': 'rw,nosuid,nodev,noexec,relatime',
      '/sys': 'ro,nosuid,nodev,noexec,relatime',
      '/sys/fs/cgroup': 'ro,nosuid,nodev,noexec,relatime',
      '/proc/sys': 'ro,nosuid,nodev,noexec,relatime',
      '/proc/bus': 'ro,nosuid,nodev,noexec,relatime',
    })
    for (const [at, flags] of Object.entries(mounts))
      if (at.startsWith('/sys')) expect(flags, at).toMatch(/^ro,nosuid,nodev,noexec/)
  })

  it('sees nothing of what is masked, and changes no setting of the kernel', async () => {
    const masked =
      '/proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/sched_debug /proc/scsi /proc/timer_list /sys/firmware'
    const shown = `for at in ${masked}; do if [ -d $at ]; then ls -A $at; elif [ -e $at ]; then head -c 9 $at; fi; done`
    expect(await inside(shown)).toBe('')
    expect(await inside('[ -c /proc/interrupts ] && echo hidden')).toBe('hidden\n')
    expect(
      await inside('(echo 1 > /proc/sys/kernel/panic) 2>&1; (echo b > /proc/sysrq-trigger) 2>&1'),
    ).toMatch(/Read-only file system\n.*(Read-only file system|nonexistent directory)/)
  })

  it("has six devices, and reaches neither the host's console nor tun", async () => {
    expect(
      (await inside('cd /dev; ls | while read at; do [ -c $at -a ! -h $at ] && echo $at; done')).split('\n'),
    ).toEqual(['full', 'null', 'random', 'tty', 'urandom', 'zero', ''])
    expect(await inside('mknod /c c 5 1 2>&1; mknod /t c 10 200 2>&1; cat /c /t 2>&1')).toMatch(
      UsernsMode === 'host' ? /^(cat: .*: Operation not permitted\n){2}$/ : /^(mknod: .*not permitted\n){2}/,
    )
  })

  it('has eight namespaces that are not the host’s, settings of its own network, and three descriptors', async () => {
    const own = (await inside(`for t in ${types.join(' ')}; do readlink /proc/self/ns/$t; done`))
      .trim()
      .split('\n')
    const shared = types.filter((type, at) => own[at] === readlinkSync(`/proc/self/ns/${type}`))
    expect(shared).toEqual(UsernsMode === 'host' ? ['user'] : [])
    expect(
      await inside(
        'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv6/conf/eth0/accept_ra',
      ),
    ).toBe('0\n0\n')
    expect(await inside('ls /proc/1/fd')).toBe('0\n1\n2\n')
  })
})
