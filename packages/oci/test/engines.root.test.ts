/** Under the engines that Debian has: podman and containerd, each private, in namespaces of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { executable, OciWorld } from './world.ts'

const root = process.getuid?.() === 0
const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** Limits that any machine gives: raising the hard ones takes CAP_SYS_RESOURCE. */
const modest = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']

describe.skipIf(!root || !has('podman'))('under podman', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())
  const dirs = ['root', 'runroot', 'tmp'].map((name) => join(world.base, 'podman', name))
  const options = ['--root', dirs[0]!, '--runroot', dirs[1]!, '--tmpdir', dirs[2]!, '--storage-driver', 'vfs']
  const engine = ['--runtime', executable, '--cgroup-manager', 'cgroupfs', '--events-backend', 'file']

  const podman = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['-m', '-n', 'podman', ...options, ...engine, ...args],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    )
    return { status, stdout, stderr }
  }
  const run = (...args: string[]) => podman('run', '--network', 'none', ...modest, ...args)

  it('runs, with output and status, with and without a terminal', { timeout: 60_000 }, () => {
    expect(run('--rm', '--rootfs', world.rootfs, 'sh', '-c', 'echo hello; exit 6')).toMatchObject({
      status: 6,
      stdout: 'hello\n',
    })
    expect(
      run('--rm', '-t', '--rootfs', world.rootfs, 'sh', '-c', 'test -t 0 && echo tty; exit 5'),
    ).toMatchObject({
      status: 5,
      stdout: 'tty\r\n',
    })
    expect(run('--rm', '--rootfs', world.rootfs, 'nonsense').status).toBe(127)
  })

  it('lives, takes exec, pause, limits and signals, and goes', { timeout: 120_000 }, () => {
    const id = run('-d', '--rootfs', world.rootfs, 'sleep', '1000').stdout.trim()
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(podman('exec', id, 'echo', 'inside')).toMatchObject({ status: 0, stdout: 'inside\n' })
    expect(podman('exec', id, 'nonsense').status).toBe(127)
    expect(podman('pause', id).status).toBe(0)
    expect(podman('inspect', '-f', '{{.State.Status}}', id).stdout).toBe('paused\n')
    expect(podman('unpause', id).status).toBe(0)
    expect(podman('update', '--memory', '64m', id).status).toBe(0)
    expect(podman('top', id).stdout).toContain('sleep 1000')
    expect(podman('kill', id).status).toBe(0)
    expect(podman('wait', id).stdout).toBe('137\n')
    expect(podman('rm', id).status).toBe(0)
  })
})

describe.skipIf(!root || !has('containerd') || !has('ctr'))('under containerd', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('runs, lives, takes exec, pause and signals, and goes', { timeout: 120_000 }, () => {
    const base = join(world.base, 'containerd')
    mkdirSync(base)
    writeFileSync(join(base, 'config.toml'), containerdConfig(base))
    const script = join(base, 'script')
    writeFileSync(script, containerdScript(base, world.rootfs))
    // A /run of its own: containerd's shims keep their sockets there, whatever the configuration says.
    const output = execFileSync('unshare', ['-m', '-n', 'bash', script], {
      encoding: 'utf8',
      timeout: 100_000,
    })
    expect(output).toBe(
      'hello|run 0|exit 3|detached 0|inside|exec 0|RUNNING|PAUSED|RUNNING|STOPPED|removed 0|missing 1|'.replaceAll(
        '|',
        '\n',
      ),
    )
  })
})

function containerdConfig(base: string): string {
  return `version = 2
root = "${base}/root"
state = "${base}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${base}/sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${base}/opt"
`
}

function containerdScript(base: string, rootfs: string): string {
  return `
mount -t tmpfs tmpfs /run
containerd -c ${base}/config.toml > ${base}/log 2>&1 &
containerd=$!
c="timeout 30 ctr -a ${base}/sock"
for i in $(seq 100); do $c version > /dev/null 2>&1 && break; sleep 0.1; done
run="run --runc-binary ${executable} --rootfs"
status() { $c task ls | awk -v id="$1" '$1 == id { print $3 }'; }
$c $run --rm ${rootfs} one echo hello 2> /dev/null; echo run $?
$c $run --rm ${rootfs} two sh -c 'exit 3' 2> /dev/null; echo exit $?
$c $run -d ${rootfs} three sleep 1000; echo detached $?
$c task exec --exec-id e three echo inside; echo exec $?
status three
$c task pause three; status three
$c task resume three; status three
$c task kill -s KILL three
for i in $(seq 100); do [ "$(status three)" = STOPPED ] && break; sleep 0.1; done
status three
$c task rm three 2> /dev/null; $c container rm three; echo removed $?
$c $run --rm ${rootfs} four nonsense 2> /dev/null; echo missing $?
kill $containerd; wait $containerd 2> /dev/null
`
}
