import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { closeFd, createNamespace, namespaceInode, receiveMessage } from '@holdfast/core'
import type { NamespaceType } from '@holdfast/plan'
import { ExecutorWorld, hostRoot, readable } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

const types: NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']
const ownInode = (type: NamespaceType): number => statSync(`/proc/self/ns/${type}`).ino

describe('a container', () => {
  it('runs its program and hands its output and exit code on', async () => {
    const { exitCode, signal, output, finishedAt } = await world.run({
      args: ['sh', '-c', 'echo hello; exit 7'],
    })
    expect({ exitCode, signal, output }).toEqual({ exitCode: 7, signal: null, output: 'hello\n' })
    expect(finishedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/)
    expect(Math.abs(Date.parse(finishedAt) - Date.now())).toBeLessThan(60_000)
  })

  it('records the signal that ended it', async () => {
    const live = await world.create(world.plan({ args: ['sleep', '100'] }))
    await live.process.door.open()
    live.kill(9)
    expect(await live.finish()).toMatchObject({ exitCode: 137, signal: 9 })
  })

  it('is told of by its keeper, to whom entrusted it, before that ends itself', async () => {
    const live = await world.create(world.plan({ args: ['sh', '-c', 'exit 3'] }))
    await live.process.door.open()
    const word = live.process.door.fds.trust!
    await readable(word)
    const { data } = receiveMessage(word, 1024)!
    expect(JSON.parse(data.toString())).toMatchObject({ exitCode: 3, signal: null })
    closeFd(word)
    expect(await live.finish()).toMatchObject({ exitCode: 3 })
  })

  it('has not run its program before start', async () => {
    const live = await world.create(world.plan({ args: ['echo', 'ran'] }))
    expect(readFileSync(`/proc/${live.process.init.pid}/cmdline`, 'latin1')).toMatch(/^holdfast: init\0/)
    await live.process.door.open()
    expect((await live.finish()).output).toBe('ran\n')
  })

  it('that was killed before its start says so', async () => {
    const live = await world.create(world.plan())
    live.process.door.entrust()
    live.kill(9)
    await readable(live.process.keeper.pidfd)
    await expect(live.process.door.open()).rejects.toMatchObject({ code: 'HF_CONTAINER_NOT_RUNNING' })
    expect(await live.finish()).toMatchObject({ exitCode: 137, signal: 9 })
  })

  it('has eight namespaces of its own', async () => {
    const live = await world.create(world.plan())
    for (const type of types) {
      expect(namespaceInode(live.container.namespaces[type]), type).not.toBe(ownInode(type))
    }
    await live.process.door.open()
    await live.finish()
  })

  it("shares the host's namespaces where the plan says so", async () => {
    const live = await world.create(world.plan({ namespaces: ['mnt', 'pid'] }))
    for (const type of types) {
      const shared = namespaceInode(live.container.namespaces[type]) === ownInode(type)
      expect(shared, type).toBe(type !== 'mnt' && type !== 'pid')
    }
    await live.process.door.open()
    await live.finish()
  })

  it('joins the namespaces of another', async () => {
    const first = await world.create(world.plan({ args: ['sleep', '100'] }))
    await first.process.door.open()
    const { pid } = first.process.init
    const joined: NamespaceType[] = ['net', 'ipc', 'uts']
    const plan = world.plan({
      namespaces: ['mnt', 'pid', 'cgroup', 'time'],
      upperOwner: hostRoot,
      preparations: [...joined, 'user' as const].map((namespace) => ({
        do: 'open-namespace',
        namespace,
        path: `/proc/${pid}/ns/${namespace}`,
        as: `ns:${namespace}`,
      })),
      // The new mount and pid namespaces must belong to the joined user namespace: it is joined before them.
      beforeClone: [
        ...[...joined, 'user' as const].map((namespace) => ({
          do: 'join' as const,
          namespace,
          fd: `ns:${namespace}`,
        })),
        { do: 'become-root' },
      ],
      args: ['sh', '-c', 'readlink /proc/self/ns/net; id -u'],
    })
    const live = await world.create(plan)
    for (const type of [...joined, 'user' as const]) {
      expect(namespaceInode(live.container.namespaces[type])).toBe(
        namespaceInode(first.container.namespaces[type]),
      )
    }
    await live.process.door.open()
    expect((await live.finish()).output).toMatch(/^net:\[\d+\]\n0\n$/)
    first.kill(9)
    await first.finish()
  })

  it('refuses a path that is a namespace of another type', async () => {
    const plan = world.plan({
      preparations: [{ do: 'open-namespace', namespace: 'net', path: '/proc/self/ns/uts', as: 'ns:net' }],
    })
    await expect(world.create(plan)).rejects.toMatchObject({ code: 'HF_INVALID_CONFIG' })
  })

  it('joins a named namespace that no process is in', async () => {
    const netns = createNamespace('net')
    try {
      const plan = world.plan({
        namespaces: ['mnt', 'pid'],
        preparations: [
          { do: 'open-namespace', namespace: 'net', path: `/proc/self/fd/${netns}`, as: 'ns:net' },
        ],
        beforeClone: [{ do: 'join', namespace: 'net', fd: 'ns:net' }],
      })
      const live = await world.create(plan)
      expect(namespaceInode(live.container.namespaces.net)).toBe(namespaceInode(netns))
      await live.process.door.open()
      await live.finish()
    } finally {
      closeFd(netns)
    }
  })

  it('maps its ids: what it writes belongs to its own range on the host', async () => {
    const live = await world.create(
      world.plan({
        args: ['sh', '-c', 'cat /proc/self/uid_map; touch /made; stat -c %u:%g /made /bin/busybox'],
      }),
    )
    const upper = /upperdir=([^,\s]+)/.exec(
      readFileSync(`/proc/${live.process.init.pid}/mountinfo`, 'utf8'),
    )![1]!
    await live.process.door.open()
    const { output } = await live.finish()
    expect(output.trim().split(/\s+/)).toEqual(['0', String(hostRoot), '65536', '0:0', '0:0'])
    expect(statSync(`${upper}/made`).uid).toBe(hostRoot)
  })

  it('moves the clocks of its time namespace', async () => {
    const { output } = await world.run({
      beforeClone: [{ do: 'time-offsets', boottime: { secs: 86_400 * 1000, nanosecs: 0 } }],
      args: ['cat', '/proc/uptime'],
    })
    expect(Number(output.split(' ')[0])).toBeGreaterThan(86_400 * 1000)
  })

  it('has its host name, its loopback and its sysctls', async () => {
    const { output } = await world.run({
      mounts: [
        { do: 'hostname', name: 'box' },
        { do: 'loopback-up' },
        { do: 'sysctl', key: 'net.ipv4.ip_forward', value: '1' },
        { do: 'sysctl', key: 'net/ipv4/ip_unprivileged_port_start', value: '0' },
      ],
      args: [
        'sh',
        '-c',
        'hostname; ip link show lo | grep -o UP | head -1; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_unprivileged_port_start',
      ],
    })
    expect(output.split(/\s+/)).toEqual(['box', 'UP', '1', '0', ''])
  })

  it('gets no descriptor but its stdio', async () => {
    const { output } = await world.run({ args: ['sh', '-c', 'ls /proc/1/fd; true'] })
    expect(output).toBe('0\n1\n2\n')
  })

  it('starts with every signal at its default and unblocked', async () => {
    const { output } = await world.run({
      args: ['sh', '-c', 'exec grep -E "^Sig(Blk|Ign)" /proc/self/status'],
    })
    expect(output).toBe('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n')
  })

  it('runs createRuntime hooks while its namespaces exist and its root is the old one', async () => {
    let seen: string | undefined
    const live = await world.create(
      world.plan({ mounts: [{ do: 'sync', point: 'create-runtime' }] }),
      async (pid) => {
        seen = readlinkSync(`/proc/${pid}/ns/net`)
      },
    )
    expect(seen).toBe(`net:[${namespaceInode(live.container.namespaces.net)}]`)
    await live.process.door.open()
    await live.finish()
  })

  it("runs the launcher's hooks with the state and its pid as the container counts it", async () => {
    const script = world.path('hook.sh')
    writeFileSync(script, '#!/bin/sh\ncat > "$1"\n', { mode: 0o755 })
    const { output } = await world.run({
      mounts: [
        {
          do: 'hook',
          kind: 'createContainer',
          path: '/bin/sh',
          args: ['sh', '-c', 'cat >/dev/null; exit 0'],
          env: ['PATH=/bin:/usr/bin'],
          state: '{"pid":%PID%}',
        },
      ],
      after: [
        { do: 'mount', type: 'tmpfs', source: 'tmpfs', target: '/tmp', attributes: {}, options: [] },
        {
          do: 'hook',
          kind: 'startContainer',
          path: '/bin/sh',
          args: ['sh', '-c', 'cat > /tmp/state'],
          env: ['PATH=/bin'],
          timeoutMs: 5000,
          state: '{"id":"x","pid":%PID%,"status":"created"}',
        },
      ],
      args: ['cat', '/tmp/state'],
    })
    expect(JSON.parse(output)).toEqual({ id: 'x', pid: 1, status: 'created' })
  })
})

describe('a failure', () => {
  const descendants = (): string[] =>
    execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes('holdfast'))
  const mounts = (): string => readFileSync('/proc/self/mountinfo', 'utf8')

  async function leavesNothing(attempt: () => Promise<unknown>): Promise<unknown> {
    const before = {
      processes: descendants(),
      fds: readdirSync('/proc/self/fd').length,
      mounts: mounts(),
      files: readdirSync(world.directory),
    }
    let failure: unknown
    await attempt().catch((error: unknown) => (failure = error))
    expect(descendants()).toEqual(before.processes)
    expect(mounts()).toBe(before.mounts)
    expect(readdirSync(world.directory)).toEqual(before.files)
    expect(readdirSync('/proc/self/fd').length).toBe(before.fds)
    return failure
  }

  it('in stage one names the step, the call and a hint, and leaves nothing', async () => {
    const bind = {
      do: 'stage-bind' as const,
      as: 'x',
      source: '/no/such/source',
      recursive: false,
      attributes: { set: {}, clear: [] },
    }
    const failure = await leavesNothing(() => world.create(world.plan({ staged: [bind] })))
    expect(failure).toMatchObject({
      code: 'ENOENT',
      syscall: 'open_tree',
      path: '/no/such/source',
      step: expect.stringContaining('stage-bind'),
      hint: 'The source of the mount does not exist.',
    })
  })

  it('in stage two leaves nothing', async () => {
    const failure = await leavesNothing(() =>
      world.create(
        world.plan({
          mounts: [
            { do: 'mount', type: 'nosuchfs', source: 'x', target: '/mnt', attributes: {}, options: [] },
          ],
        }),
      ),
    )
    expect(failure).toMatchObject({
      code: 'ENODEV',
      syscall: 'fsopen',
      step: expect.stringContaining('mount'),
    })
  })

  it('of a createRuntime hook leaves nothing', async () => {
    const failure = await leavesNothing(() =>
      world.create(world.plan({ mounts: [{ do: 'sync', point: 'create-runtime' }] }), async () => {
        throw new Error('the hook says no')
      }),
    )
    expect(String(failure)).toContain('the hook says no')
  })

  it('of a hook that hangs comes when its time is over', async () => {
    const failure = await leavesNothing(() =>
      world.create(
        world.plan({
          mounts: [
            {
              do: 'hook',
              kind: 'createContainer',
              path: '/bin/sleep',
              args: ['sleep', '100'],
              env: [],
              timeoutMs: 50,
              state: '{}',
            },
          ],
        }),
      ),
    )
    expect(failure).toMatchObject({ code: 'ETIMEDOUT', hint: 'The hook ran longer than its timeout.' })
  })

  it.each([
    ['nope', 'HF_COMMAND_NOT_FOUND', 'exec: "nope": executable file not found in $PATH', 127],
    ['/nope', 'HF_COMMAND_NOT_FOUND', 'exec: "/nope": stat /nope: no such file or directory', 127],
    ['/etc/passwd', 'HF_COMMAND_NOT_EXECUTABLE', 'exec: "/etc/passwd": permission denied', 126],
    ['/etc', 'HF_COMMAND_NOT_EXECUTABLE', 'exec: "/etc": permission denied', 126],
  ])('to execute %s is told apart by its code', async (program, code, message, exitCode) => {
    const live = await world.create(world.plan({ args: [program] }))
    await expect(live.process.door.open()).rejects.toMatchObject({ code, message })
    expect(await live.finish()).toMatchObject({ exitCode })
  })
})
