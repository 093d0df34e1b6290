/** OCI configurations, as other programs write them, planned and carried out: what the container sees of each section. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { probeHost } from '@holdfast/core'
import { parseConfigJson, planContainer, type ContainerPlan, type HostFacts } from '@holdfast/plan'
import { removeCgroups } from '../src/cgroup/cgroup.ts'
import { ExecutorWorld, readUntil } from './executor-world.ts'

type Json = Record<string, unknown>

const world = new ExecutorWorld()
const scratch = mkdtempSync(join(tmpdir(), 'hfo-'))
let count = 0
/** Of this file's containers alone. */
const cgroupParent = `/hf-oci-${process.pid}`
const layout = probeHost().cgroup
const trees = layout.version === 2 ? [layout.mount] : layout.hierarchies.map(({ mount }) => mount)

beforeAll(() => {
  chmodSync(scratch, 0o755) // hooks of a user namespace look in too
  mkdirSync(join(scratch, 'stage'))
  mkdirSync(join(scratch, 'source/sub'), { recursive: true })
  writeFileSync(join(scratch, 'source/file'), 'text\n')
  chownSync(join(scratch, 'source/file'), 1234, 1234)
})

afterAll(async () => {
  await world[Symbol.asyncDispose]()
  await removeCgroups(trees.map((mount) => ({ path: mount + cgroupParent })))
  rmSync(scratch, { recursive: true, force: true })
})

const hostID = 0x7124_0000
const maps = [{ containerID: 0, hostID, size: 65_536 }]
const user = { type: 'user' }
const all = ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup'].map((type) => ({ type }))
const proc = { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] }
const dev = { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] }
const capabilities = (...names: string[]): Json => ({ bounding: names, permitted: names, effective: names })

/** In a user namespace of its own. */
const confined = { namespaces: [...all, user], uidMappings: maps, gidMappings: maps }

interface Parts {
  extra?: Json
  linux?: Json
  process?: Json
  mounts?: Json[]
  host?: HostFacts
}

function planOf(
  script: string,
  { extra = {}, linux = {}, process = {}, mounts = [], host = probeHost() }: Parts,
): ContainerPlan {
  const id = `oci-${globalThis.process.pid}-${count++}`
  const [upper, work] = [join(scratch, `upper${count}`), join(scratch, `work${count}`)]
  const owner = 'uidMappings' in linux ? hostID : 0
  for (const path of [upper, work]) mkdirSync(path)
  chownSync(upper, owner, owner)
  const config = {
    ociVersion: '1.2.0',
    root: { path: 'rootfs' },
    mounts: [proc, dev, ...mounts],
    ...extra,
    process: { cwd: '/', args: ['sh', '-c', script], env: ['PATH=/bin'], ...process },
    linux: { namespaces: all, ...linux },
  }
  return planContainer(parseConfigJson(JSON.stringify(config)), {
    id,
    bundle: scratch,
    stage: join(scratch, 'stage'),
    init: false,
    cgroupParent,
    pivot: 'pivot',
    host,
    rootfs: { kind: 'overlay', lower: [world.rootfs], upper, work, idmap: owner !== 0 },
  })
}

async function run(script: string, parts: Parts = {}): Promise<string> {
  const live = await world.create(planOf(script, parts))
  const { cgroups } = live.container
  try {
    await live.process.door.open()
    const { output, exitCode } = await live.finish()
    return exitCode === 0 ? output.trim() : `${output.trim()} [exit ${exitCode}]`
  } finally {
    await removeCgroups(cgroups)
  }
}

describe.each([
  ["with the host's users", {}],
  ['in a user namespace', confined],
])('%s', (_, base) => {
  it('has the default devices, owned by its root, and the links', async () => {
    const output = await run(
      'ls -ln /dev; echo x > /dev/null; head -c 2 /dev/zero | wc -c; [ -p /dev/stdout ] && echo via',
      { linux: base },
    )
    for (const name of ['null', 'zero', 'full', 'random', 'urandom', 'tty'])
      expect(output).toMatch(new RegExp(`crw-rw-rw- .* 0 +0 .* ${name}$`, 'm'))
    expect(output).toMatch(/fd -> \/proc\/self\/fd[\s\S]*ptmx -> pts\/ptmx[\s\S]*\n2\nvia/)
  })

  it('has the device asked for, with its mode and owner', async () => {
    const devices = [
      { type: 'c', path: '/dev/mine', major: 1, minor: 3, fileMode: 0o640, uid: 5, gid: 6 },
      { type: 'p', path: '/dev/pipe', fileMode: 0o600 },
    ]
    const output = await run('ls -ln /dev/mine /dev/pipe', { linux: { ...base, devices } })
    expect(output).toMatch(/crw-r----- .* 5 +6 +1, +3 .*\/dev\/mine/)
    expect(output).toMatch(/prw------- .* 0 +0 .*\/dev\/pipe/)
  })

  it('sees its root read-only, and what is mounted in it as asked', async () => {
    const mounts = [
      { destination: '/t', type: 'tmpfs', source: 'tmpfs', options: ['size=64k', 'mode=700', 'ro'] },
      { destination: '/b', source: 'source', options: ['rbind', 'rro', 'rprivate'] },
      { destination: '/deep/er', type: 'tmpfs' },
    ]
    const script =
      'touch /x /t/x /b/x /b/sub/x 2>&1; touch /deep/er/x && ls /deep/er; cat /b/file; pwd; stat -c %a /t'
    const output = await run(script, {
      extra: { root: { path: 'rootfs', readonly: true } },
      mounts,
      linux: base,
      process: { cwd: '/made/for/it' },
    })
    expect(output.match(/Read-only file system/g)).toHaveLength(4)
    expect(output).toMatch(/\nx\ntext\n\/made\/for\/it\n700$/)
  })

  it('hides and protects paths', async () => {
    const linux = {
      ...base,
      maskedPaths: ['/proc/keys', '/etc', '/nowhere'],
      readonlyPaths: ['/proc/sys', '/nowhere'],
    }
    const output = await run(
      'wc -c < /proc/keys; ls -A /etc | wc -l; touch /etc/x 2>&1; echo 1 2>&1 > /proc/sys/kernel/domainname; true',
      { linux },
    )
    expect(output).toMatch(/^0\n0\n.*Read-only file system/)
    expect(output).toMatch(/domainname: Read-only file system/)
  })

  it('has exactly the capabilities asked for', async () => {
    const sets = {
      bounding: ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW'],
      permitted: ['CAP_CHOWN', 'CAP_KILL'],
      effective: ['CAP_CHOWN'],
      inheritable: ['CAP_KILL'],
      ambient: ['CAP_KILL'],
    }
    const output = await run('grep -E "Cap|NoNew" /proc/self/status', {
      linux: base,
      process: { capabilities: sets, user: { uid: 1, gid: 1 }, noNewPrivileges: true },
    })
    const mask = (name: string) =>
      Number.parseInt(new RegExp(`Cap${name}:\\s*(\\w+)`).exec(output)?.[1] ?? '', 16)
    expect([mask('Bnd'), mask('Inh'), mask('Amb'), mask('Prm'), mask('Eff')]).toEqual([
      0x2021, 0x20, 0x20, 0x20, 0x20,
    ])
    expect(output).toMatch(/NoNewPrivs:\s+1/)
  })

  it('runs as its user, with groups, mask and limits', async () => {
    const process = {
      user: { uid: 1000, gid: 1001, additionalGids: [7, 8], umask: 0o27 },
      oomScoreAdj: 500,
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 12, hard: 34 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      ],
      ioPriority: { class: 'IOPRIO_CLASS_IDLE' },
      scheduler: { policy: 'SCHED_BATCH', nice: 5 },
    }
    const output = await run(
      'id -u; id -g; id -G; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; ionice -p $$; cut -d" " -f19,41 /proc/self/stat',
      { linux: base, process },
    )
    expect(output.split('\n')).toEqual([
      '1000',
      '1001',
      '1001 7 8',
      '0027',
      '12',
      '34',
      '500',
      expect.stringContaining('idle'),
      '5 3',
    ])
  })

  it('refuses system calls as the filter says, with and without no_new_privs', async () => {
    const seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 11 }],
    }
    for (const noNewPrivileges of [true, false]) {
      const output = await run('mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status', {
        linux: { ...base, seccomp },
        process: { noNewPrivileges },
      })
      expect(output).toMatch(/Resource temporarily unavailable[\s\S]*Seccomp:\s+2/)
    }
  })

  it('sets sysctls and names of its own', async () => {
    const linux = { ...base, sysctl: { 'net.core.somaxconn': '77', 'kernel.shmmax': '4096' } }
    const output = await run(
      'cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax; hostname; cat /proc/sys/kernel/domainname; ip -o link show lo',
      {
        linux,
        extra: { hostname: 'its-name', domainname: 'its.domain' },
      },
    )
    expect(output).toMatch(/^77\n4096\nits-name\nits\.domain\n.*LOOPBACK,UP/)
  })

  it('is ahead in time', async () => {
    const namespaces = [...((base as { namespaces?: Json[] }).namespaces ?? all), { type: 'time' }]
    const output = await run('cut -d. -f1 /proc/uptime', {
      linux: { ...base, namespaces, timeOffsets: { boottime: { secs: 1_000_000 } } },
    })
    const uptime = Number(readFileSync('/proc/uptime', 'utf8').split('.')[0])
    expect(Number(output) - uptime).toBeGreaterThan(999_000)
  })

  it('keeps to its limits, in its cgroup, which is all it sees of the tree', async () => {
    const mounts = [
      { destination: '/sys', type: 'sysfs', options: ['ro'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', options: ['ro', 'nosuid'] },
    ]
    const linux = {
      ...base,
      resources: {
        pids: { limit: 20 },
        memory: { limit: 64 << 20 },
        cpu: { quota: 50_000, period: 100_000 },
      },
    }
    const output = await run(
      'cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; cat /proc/self/cgroup; touch /sys/fs/cgroup/x 2>&1; true',
      { mounts, linux },
    )
    expect(output).toMatch(/^20\n/)
    expect(
      output
        .split('\n')
        .filter((line) => /^\d+:.*:/.test(line))
        .every((line) => line.endsWith(':/')),
    ).toBe(true)
    expect(output).toMatch(/Read-only file system/)
  })

  it('has a terminal of its own devpts, which is its user and group tty', async () => {
    const mounts = [
      {
        destination: '/dev/pts',
        type: 'devpts',
        options: ['newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
    ]
    const process = { terminal: true, consoleSize: { height: 30, width: 99 }, user: { uid: 7, gid: 8 } }
    const script = 'tty; stty size; stat -c %u:%g:%a /dev/pts/0; [ /dev/console -ef /dev/pts/0 ] && echo same'
    const live = await world.create(planOf(script, { mounts, process, linux: base }))
    const { cgroups } = live.container
    await live.process.door.open()
    expect(await readUntil(live.process.console!, undefined)).toMatch(
      /^\/dev\/pts\/0\r\n30 99\r\n7:5:620\r\nsame\r\n$/,
    )
    await live.finish()
    await removeCgroups(cgroups)
  })

  it('seems to be another machine, and takes its memory where it was told', async () => {
    const linux = {
      ...base,
      personality: { domain: 'LINUX32' },
      memoryPolicy: { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] },
    }
    const output = await run('uname -m; grep -m 1 -o "bind[^ ]*" /proc/self/numa_maps', { linux })
    expect(output).toMatch(/^(i686|armv8l)\nbind=static:0$/)
  })

  it('has the mask 022 unless it is given another', async () => {
    expect(await run('umask', { linux: base })).toBe('0022')
    expect(await run('umask', { linux: base, process: { user: { uid: 0, gid: 0, umask: 0o77 } } })).toBe(
      '0077',
    )
  })

  it.each([0, 1])('starts its program, which may not fork, with a limit of %d processes', async (limit) => {
    const linux = { ...base, resources: { pids: { limit } } }
    expect(await run('echo one; (true) 2>&1 || true', { linux })).toMatch(/^one\n.*can't fork/)
  })

  it.each([
    ['private', /^[^-]*$/],
    ['rslave', /^[^-]*$/],
    ['shared', /shared:\d+/],
    ['unbindable', /unbindable/],
  ])('has a root whose propagation is %s', async (rootfsPropagation, tags) => {
    const output = await run('sed -n "s/.* \\/ \\/ \\(.*\\) - .*/\\1/p" /proc/self/mountinfo | head -1', {
      linux: { ...base, rootfsPropagation },
    })
    expect(output).toMatch(tags)
  })

  it('reaches no device that no rule allows', async () => {
    const devices = [{ type: 'c', path: '/dev/console5', major: 5, minor: 1 }]
    const linux = { ...base, devices, resources: { devices: [{ allow: false, access: 'rwm' }] } }
    expect(await run('cat /dev/console5 2>&1; cat /dev/null && echo fine', { linux })).toMatch(
      /not permitted\nfine$/,
    )
  })

  it("runs its hooks in the container: before the pivot with the host's paths, after the door with its own", async () => {
    const extra = {
      hooks: {
        createContainer: [{ path: '/bin/sh', args: ['sh', '-c', `cat > ${scratch}/state`] }],
        startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'cat > /tmp/state'] }],
      },
    }
    writeFileSync(join(scratch, 'state'), '')
    chmodSync(join(scratch, 'state'), 0o666)
    const live = await world.create(
      planOf('cat /tmp/state', {
        extra,
        linux: { ...base, namespaces: (base as { namespaces?: Json[] }).namespaces ?? all },
      }),
    )
    const { cgroups } = live.container
    await live.process.door.open()
    const { output } = await live.finish()
    await removeCgroups(cgroups)
    expect(JSON.parse(readFileSync(join(scratch, 'state'), 'utf8'))).toMatchObject({
      status: 'creating',
      pid: 1,
    })
    expect(JSON.parse(output)).toMatchObject({ status: 'created', pid: 1, bundle: scratch })
  })
})

describe('mounts', () => {
  it('map ids by maps of their own', async () => {
    const uidMappings = [{ containerID: 1234, hostID: hostID + 42, size: 1 }]
    const mounts = [
      { destination: '/b', source: 'source', options: ['bind'], uidMappings, gidMappings: uidMappings },
    ]
    expect(await run('stat -c %u:%g /b/file', { mounts, linux: confined })).toBe('42:42')
    expect(statSync(join(scratch, 'source/file')).uid).toBe(1234)
  })

  it("map ids by the container's user namespace", async () => {
    const mounts = [{ destination: '/b', source: 'source', options: ['rbind', 'ridmap'] }]
    expect(
      await run('stat -c %u /b/file; touch /b/new', {
        mounts,
        linux: confined,
        process: { capabilities: capabilities('CAP_DAC_OVERRIDE') },
      }),
    ).toBe('1234')
    expect(statSync(join(scratch, 'source/new')).uid).toBe(0)
  })

  it('copy what the image has there into a tmpfs', async () => {
    const mounts = [{ destination: '/etc', type: 'tmpfs', options: ['tmpcopyup', 'size=1m'] }]
    expect(await run('grep -c root /etc/passwd; mount | grep -c "on /etc type tmpfs"', { mounts })).toBe(
      '1\n1',
    )
  })

  it('of tmpfs keep the permissions of what they cover, unless told otherwise', async () => {
    const tmpfs = (destination: string, ...options: string[]): Json => ({
      destination,
      type: 'tmpfs',
      options,
    })
    for (const copied of [[], ['tmpcopyup']]) {
      const mode = 'mode=1750'
      const mounts = [
        tmpfs('/tmp'),
        tmpfs('/etc'),
        tmpfs('/new'),
        tmpfs('/root', mode),
        tmpfs('/other', mode),
      ]
      for (const { options } of mounts) (options as string[]).push(...copied)
      const modes = await run('stat -c %a /tmp /etc /new /root /other', { mounts })
      expect(modes.split('\n')).toEqual(['1777', '755', '1777', '1750', '1750'])
    }
  })

  it('lie one over the other, in order, and are files where their source is one', async () => {
    const mounts = [
      { destination: '/m', type: 'tmpfs' },
      { destination: '/m/f', source: 'source/file', options: ['bind', 'ro'] },
      { destination: '/m/d/e', source: 'source', options: ['bind'] },
      { destination: '/m/d/e/sub', type: 'tmpfs', options: ['noexec'] },
    ]
    expect(await run('cat /m/f /m/d/e/file; mount | grep -c " /m"', { mounts })).toBe('text\ntext\n4')
  })

  it.each([
    ['private', /^$/],
    ['slave', /^master:\d+$/],
    ['shared', /^shared:\d+$/],
    ['unbindable', /^unbindable$/],
  ])('propagate as asked: %s', async (value, tags) => {
    using peer = sharedMount(value)
    const mounts = [{ destination: '/b', source: peer.path, options: ['bind', value] }]
    const [, tag = ''] =
      /^\S+ \S+ \S+ \S+ \/b \S+ (.*?) ?- /.exec(await run('grep " /b " /proc/self/mountinfo', { mounts })) ??
      []
    expect(tag).toMatch(tags)
  })

  it('that are shared let the host see what the container mounts', async () => {
    using peer = sharedMount('seen')
    mkdirSync(join(peer.path, 'sub'))
    const mounts = [{ destination: '/b', source: peer.path, options: ['rbind', 'rshared'] }]
    await run('mount -t tmpfs none /b/sub', {
      mounts,
      process: { capabilities: capabilities('CAP_SYS_ADMIN') },
    })
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(` ${peer.path}/sub `)
  })

  it('take attributes again by remount', async () => {
    const mounts = [
      { destination: '/m', type: 'tmpfs' },
      { destination: '/m', options: ['remount', 'ro', 'noexec', 'strictatime'] },
    ]
    expect(await run('mount | grep " /m "', { mounts })).toMatch(/\(ro,noexec/)
  })

  it('take another propagation by remount', async () => {
    const mounts = [
      { destination: '/m', type: 'tmpfs' },
      { destination: '/m', options: ['remount', 'shared'] },
    ]
    expect(await run('grep " /m " /proc/self/mountinfo', { mounts })).toMatch(/ shared:\d+ /)
  })

  it('have the attributes of the whole tree', async () => {
    execFileSync('mount', ['-t', 'tmpfs', 'hf-test', join(scratch, 'source/sub')])
    try {
      const of = (...options: string[]): Json[] => [{ destination: '/b', source: 'source', options }]
      const script = 'grep " /b" /proc/self/mountinfo | cut -d" " -f5,6 | sort'
      const whole = of(
        'rbind',
        'rro',
        'rnosuid',
        'rnodev',
        'rnoexec',
        'rnoatime',
        'rnodiratime',
        'rnosymfollow',
      )
      const set = 'ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow'
      expect(await run(script, { mounts: whole })).toBe(`/b ${set}\n/b/sub ${set}`)
      const back = of('rbind', 'ro', 'nosuid', 'rstrictatime', 'rsuid', 'rdev', 'rexec', 'rdiratime', 'rrw')
      expect(await run(script, { mounts: back })).toBe('/b rw\n/b/sub rw')
    } finally {
      execFileSync('umount', [join(scratch, 'source/sub')])
    }
  })

  it("fail with the step's name and field, and leave nothing", async () => {
    const parts = { mounts: [{ destination: '/b', source: '/does/not/exist', options: ['bind'] }] }
    const plan = planOf('true', parts)
    await expect(world.create(plan)).rejects.toThrow(
      /ENOENT.*mounts\[2\]; step: stage-bind\("\/does\/not\/exist"/,
    )
    const cgroup = plan.preparations.find((each) => each.do === 'make-cgroup')!
    for (const { path } of cgroup.directories) expect(existsSync(path)).toBe(false)
  })

  it('follow links of the image, and never leave the root', async () => {
    const plan = planOf('mount | grep -c " /target/x "', {
      mounts: [{ destination: '/link/x', type: 'tmpfs' }],
    })
    const lower = join(scratch, 'hostile')
    mkdirSync(join(lower, 'target'), { recursive: true })
    symlinkSync('/../../../../target', join(lower, 'link'))
    plan.steps.find((step) => step.do === 'stage-overlay')!.lower.unshift(lower)
    const live = await world.create(plan)
    const { cgroups } = live.container
    await live.process.door.open()
    expect((await live.finish()).output).toBe('1\n')
    await removeCgroups(cgroups)
    expect(existsSync('/target')).toBe(false)
  })
})

describe('mount points behind links of the image that lead nowhere', () => {
  /** What an image with these links has after the mounts, as `mount` lists it. */
  async function mountsWith(links: Record<string, string>, mounts: Json[]): Promise<string> {
    const plan = planOf('mount | grep hf-here | cut -d" " -f3', { mounts })
    const lower = mkdtempSync(join(scratch, 'links-'))
    chmodSync(lower, 0o755)
    for (const [path, target] of Object.entries(links)) {
      mkdirSync(join(lower, path, '..'), { recursive: true })
      symlinkSync(target, join(lower, path))
    }
    plan.steps.find((step) => step.do === 'stage-overlay')!.lower.unshift(lower)
    const live = await world.create(plan)
    const { cgroups } = live.container
    await live.process.door.open()
    const { output } = await live.finish()
    await removeCgroups(cgroups)
    return output.trim()
  }
  const here = (destination: string): Json => ({ destination, type: 'tmpfs', source: 'hf-here' })

  it.each([
    ['an absolute one', { 'var/run': '/run/deep' }, '/var/run', '/run/deep'],
    ['one on the way', { 'var/run': '/run/deep' }, '/var/run/a/b', '/run/deep/a/b'],
    ['a relative one', { 'a/b/link': '../gone/x' }, '/a/b/link', '/a/gone/x'],
    ['one that would leave the root', { 'a/link': '../../../../../out' }, '/a/link/x', '/out/x'],
    ['one after the other', { one: 'two', two: '/three/four' }, '/one', '/three/four'],
  ])('are made inside the root: %s', async (_, links, destination, made) => {
    expect(await mountsWith(links, [here(destination)])).toBe(made)
    expect(existsSync(made)).toBe(false)
  })

  it.each(['/', '/proc', '/proc/sys', '/sys', '/dev', '/dev/pts', '/dev/sub/x', 'a/../../proc'])(
    'are refused where a link leads to %s, which is no place for an image to choose',
    async (target) => {
      const pts = { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance'] }
      const sysfs = { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] }
      const refused = mountsWith({ link: target }, [sysfs, pts, here('/link')])
      await expect(refused).rejects.toMatchObject({
        code: 'ELOOP',
        step: expect.stringContaining('/link'),
        hint: expect.stringContaining('nor lead there or to the root'),
      })
    },
  )

  it('are found where a link leads to /dev/shm, as it does from /run/shm', async () => {
    const shm = { destination: '/dev/shm', type: 'tmpfs', source: 'tmpfs' }
    expect(await mountsWith({ 'run/shm': '/dev/shm' }, [shm, here('/run/shm')])).toBe('/dev/shm')
  })

  it('are refused where the links go round in a circle', async () => {
    await expect(mountsWith({ one: 'two', two: 'one' }, [here('/one/x')])).rejects.toThrow(
      /ELOOP.*mounts\[2\]/,
    )
  })
})

describe('namespaces by path', () => {
  const joining = (type: string, path: string, linux: Json = {}) =>
    planOf('true', {
      linux: { namespaces: [...all.filter((each) => each.type !== type), { type, path }], ...linux },
    })

  it.each([
    ['a namespace of another type', '/proc/self/ns/uts', 'is a uts namespace, not a net namespace'],
    ['a file that is none', '/etc/hostname', 'there is no namespace at /etc/hostname'],
    ['nothing', '/nowhere', 'there is no namespace at /nowhere'],
  ])('refuse %s, with the field', async (_, path, problem) => {
    const error = await world.create(joining('network', path)).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ details: { path: 'linux.namespaces[5].path' } })
    expect((error as Error).message).toContain(problem)
  })

  it("refuse sysctls in one that is the host's own", async () => {
    const before = readFileSync('/proc/sys/net/core/somaxconn', 'utf8')
    const plan = joining('network', '/proc/self/ns/net', { sysctl: { 'net.core.somaxconn': '7' } })
    await expect(world.create(plan)).rejects.toThrow(/linux\.namespaces\[5\]\.path: .*the host's own/)
    expect(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')).toBe(before)
  })

  it("join another container's, its user namespace among them, and set sysctls there", async () => {
    const first = await world.create(planOf('echo ready; sleep 100', { linux: confined }))
    const { cgroups } = first.container
    await first.process.door.open()
    await first.until(/ready/)
    const at = (type: string) => ({
      type,
      path: `/proc/${first.process.init.pid}/ns/${type === 'network' ? 'net' : type}`,
    })
    try {
      const namespaces = [
        { type: 'mount' },
        { type: 'cgroup' },
        at('user'),
        at('network'),
        at('ipc'),
        at('uts'),
        at('pid'),
      ]
      const linux = {
        namespaces,
        uidMappings: maps,
        gidMappings: maps,
        sysctl: { 'net.core.somaxconn': '78' },
      }
      const script =
        'cat /proc/sys/net/core/somaxconn; readlink /proc/self/ns/user; [ $$ != 1 ] && echo not first'
      const user = statSync(`/proc/${first.process.init.pid}/ns/user`).ino
      expect(await run(script, { linux })).toMatch(new RegExp(`^78\nuser:\\[${user}\\]\nnot first$`))
    } finally {
      first.kill(9)
      await first.finish()
      await removeCgroups(cgroups)
    }
  })
})

describe('a root that is entered by chroot', () => {
  it("leaves no procfs of the host's behind, by which one without masks could be had", async () => {
    const maskedPaths = ['/proc/keys']
    const script = 'unshare -mrpf sh -c "echo in; mount -t proc none /proc" 2>&1; ls /proc/1/exe'
    const plan = planOf(script, {
      linux: { maskedPaths },
      process: { capabilities: capabilities('CAP_SETFCAP') }, // what mapping the root of a user namespace takes
    })
    plan.steps.find((step) => step.do === 'pivot')!.method = 'chroot'
    const live = await world.create(plan)
    const { cgroups } = live.container
    await live.process.door.open()
    expect((await live.finish()).output).toMatch(/^in\n.*permission denied.*\n\/proc\/1\/exe\n$/)
    await removeCgroups(cgroups)
  })
})

describe('network devices of the host', () => {
  const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' })
  const named = (part: string) => `hf${process.pid % 100_000}${part}`

  /** One end of a veth pair, with addresses of its own; it goes with the other end. */
  function device(part: string) {
    const [end, other] = [named(part), named(`${part}o`)]
    ip('link', 'add', end, 'type', 'veth', 'peer', 'name', other)
    ip('link', 'set', end, 'mtu', '1400', 'address', '02:00:00:00:12:34', 'up')
    ip('addr', 'add', '192.0.2.7/24', 'brd', '192.0.2.255', 'dev', end)
    ip('addr', 'add', '2001:db8::7/64', 'dev', end)
    ip('addr', 'add', '198.51.100.1/32', 'dev', end, 'scope', 'link')
    return { end, [Symbol.dispose]: () => void spawnSync('ip', ['link', 'del', other]) }
  }

  it.each([
    ["with the host's users", {}],
    ['in a user namespace', confined],
  ])('move in with name, MTU, MAC and global addresses, and are up: %s', async (_, base) => {
    using one = device('a')
    const output = await run('ip -o addr show dev lan0; ip -o link show dev lan0', {
      linux: { ...base, netDevices: { [one.end]: { name: 'lan%d' } } },
    })
    expect(output).toMatch(/inet 192\.0\.2\.7\/24 brd 192\.0\.2\.255 scope global/)
    expect(output).toMatch(/inet6 2001:db8::7\/64 scope global/)
    expect(output).not.toContain('198.51.100.1')
    expect(output).toMatch(/lan0@.*[<,]UP.* mtu 1400 .*02:00:00:00:12:34/s)
    expect(spawnSync('ip', ['link', 'show', one.end]).status).not.toBe(0)
  })

  it('keep their names where no other is given, and their order', async () => {
    using one = device('b')
    using two = device('c')
    const netDevices = { [one.end]: {}, [two.end]: {} }
    expect(
      await run(`ls /sys/class/net`, {
        linux: { netDevices },
        mounts: [{ destination: '/sys', type: 'sysfs' }],
      }),
    ).toBe([one.end, two.end, 'lo'].join('\n'))
  })

  it('that are not there, or whose name is taken, end the create with their field, and nothing is left', async () => {
    using one = device('d')
    const failing = async (netDevices: object, message: RegExp) => {
      const plan = planOf('true', { linux: { netDevices } })
      await expect(world.create(plan)).rejects.toThrow(message)
      const cgroup = plan.preparations.find((each) => each.do === 'make-cgroup')!
      for (const { path } of cgroup.directories) expect(existsSync(path)).toBe(false)
    }
    await failing({ nosuch: {} }, /ENODEV \(linux\.netDevices\.nosuch; step: move-net-device/)
    await failing({ [one.end]: { name: 'lo' } }, /EEXIST \(linux\.netDevices/)
  })
})

/** The unified tree, alone on a v2 host, beside the others on a hybrid one: there without controllers. */
const unified =
  layout.version === 2
    ? layout
    : layout.hierarchies
        .filter(({ controllers }) => controllers.length === 0)
        .map(({ mount }) => ({ version: 2 as const, mount, controllers: [] }))[0]

describe.runIf(unified)('on cgroup v2, in a user namespace', () => {
  const host = { ...probeHost(), cgroup: unified! }
  const mounts = (access: string): Json[] => [
    { destination: '/sys', type: 'sysfs', options: ['ro'] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', options: [access] },
  ]

  it('is at the root of the tree that it sees, and can only read it', async () => {
    const script =
      'grep ^0: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | wc -l; mkdir /sys/fs/cgroup/x 2>&1; true'
    expect(await run(script, { host, linux: confined, mounts: mounts('ro') })).toMatch(
      /^0::\/\n[1-9]\d*\n.*Read-only file system$/,
    )
  })

  it('makes groups of its own where the tree is delegated to it', async () => {
    const script =
      'mkdir /sys/fs/cgroup/x && echo $$ > /sys/fs/cgroup/x/cgroup.procs && grep ^0: /proc/self/cgroup; stat -c %u /sys/fs/cgroup'
    const held = { capabilities: capabilities('CAP_CHOWN') }
    expect(await run(script, { host, linux: confined, mounts: mounts('rw'), process: held })).toBe('0::/x\n0')
  })

  it('opens the devices that are allowed and no others', async () => {
    const devices = [
      { type: 'c', path: '/dev/other', major: 1, minor: 11 },
      { type: 'c', path: '/dev/allowed', major: 1, minor: 3 },
    ]
    const linux = { ...confined, devices, resources: { devices: [{ allow: false, access: 'rwm' }] } }
    expect(await run('cat /dev/other 2>&1; cat /dev/allowed && echo fine', { host, linux })).toMatch(
      /not permitted\nfine$/,
    )
  })
})

describe('a mount namespace that exists', () => {
  const bare = (namespaces: Json[], args: string[]): Json => ({
    ociVersion: '1.2.0',
    root: { path: '/' },
    process: { cwd: '/tmp', args, env: ['PATH=/bin:/usr/bin'] },
    linux: { namespaces },
  })

  it("is the host's where none is listed, and stays as it is", async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8')
    const output = await runBundle(bare([{ type: 'uts' }], ['sh', '-c', 'readlink /proc/self/ns/mnt; pwd']))
    expect(output).toBe(`mnt:[${statSync('/proc/self/ns/mnt').ino}]\n/tmp\n`)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before)
  })

  it("is another container's where its path is given, with that container's root", async () => {
    const live = await world.create(planOf('touch /tmp/first; echo ready; sleep 100', {}))
    const { cgroups } = live.container
    await live.process.door.open()
    await live.until(/ready/)
    const path = `/proc/${live.process.init.pid}/ns/mnt`
    try {
      expect(await runBundle(bare([{ type: 'mount', path }], ['ls', '/tmp']))).toBe('first\n')
    } finally {
      live.kill(9)
      await live.finish()
      await removeCgroups(cgroups)
    }
  })
})

describe('the examples', () => {
  const example = (name: string): Json =>
    JSON.parse(readFileSync(new URL(`../../../examples/${name}.json`, import.meta.url), 'utf8')) as Json

  it.each([
    ['minimal', /^hello\n$/],
    ['busybox', /^uid=0.*\nbusybox\nPID[\s\S]* ps\n$/],
    ['userns', /^ +0 +1879048192 +65536\nuid=0.*\ntouch: \/x: Read-only file system\n$/],
    ['limits', /^\d+.*\n256\n$/],
  ])('%s runs', async (name, output) => {
    expect(await runBundle(example(name))).toMatch(output)
  })

  it('shared-net runs in the namespace that it names', async () => {
    const config = example('shared-net')
    const { namespaces } = config.linux as { namespaces: { type: string; path?: string }[] }
    namespaces.find(({ type }) => type === 'network')!.path = '/proc/self/ns/net'
    ;(config.process as Json).args = ['readlink', '/proc/self/ns/net']
    expect(await runBundle(config)).toBe(`net:[${statSync('/proc/self/ns/net').ino}]\n`)
  })
})

/** Runs a configuration as it stands, from a bundle with a busybox in `rootfs`. */
async function runBundle(config: Json): Promise<string> {
  const id = `bundle-${process.pid}-${count++}`
  const plan = planContainer(parseConfigJson(JSON.stringify(config)), {
    id,
    bundle: world.base,
    stage: join(scratch, 'stage'),
    init: false,
    cgroupParent,
    pivot: 'pivot',
    host: probeHost(),
  })
  const live = await world.create(plan)
  const { cgroups } = live.container
  await live.process.door.open()
  const { output } = await live.finish()
  await removeCgroups(cgroups)
  return output
}

/** A shared mount of this test's, which goes with what was mounted beneath it. */
function sharedMount(name: string) {
  const path = join(scratch, `peer-${name}`)
  mkdirSync(path)
  execFileSync('mount', ['-t', 'tmpfs', 'hf-test', path])
  execFileSync('mount', ['--make-shared', path])
  return { path, [Symbol.dispose]: () => void execFileSync('umount', ['-R', path]) }
}
