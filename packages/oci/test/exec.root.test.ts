/** `exec`, and what goes through from the caller: descriptors, terminal, environment. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { closeFd, readFd, receiveMessage, watchFd } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('exec', () => {
  const world = new OciWorld()
  let id = ''
  beforeAll(() => {
    id = world.running(['sleep', '1000'], (config) => {
      config.process.env.push('OWN=1')
      config.process.noNewPrivileges = false
    })
  })
  afterAll(() => world[Symbol.dispose]())

  const sh = (script: string, ...options: string[]) =>
    world.call(['exec', ...options, id, 'sh', '-c', script])

  it('hands input, output and status through', () => {
    const outcome = world.call(['exec', id, 'sh', '-c', 'cat; echo err >&2; exit 3'], { input: 'in' })
    expect(outcome).toEqual({ status: 3, stdout: 'in', stderr: 'err\n' })
    expect(sh('kill -9 $$').status).toBe(137)
  })

  it('lives in the namespaces, the root and the cgroup of the container', () => {
    const ns = (pid: number | string, type: string) => `readlink /proc/${pid}/ns/${type}`
    for (const type of ['pid', 'net', 'ipc', 'uts', 'mnt']) {
      expect(sh(ns('self', type)).stdout).toBe(sh(ns(1, type)).stdout)
    }
    expect(sh('cat /proc/self/cgroup').stdout).toBe(sh('cat /proc/1/cgroup').stdout)
  })

  it('takes what the options say beside what the container has', () => {
    expect(
      sh('id -u; id -g; pwd; echo $OWN$TWO', '--user', '1000:1001', '--cwd', '/tmp', '--env', 'TWO=2').stdout,
    ).toBe('1000\n1001\n/tmp\n12\n')
    expect(sh('id -G', '--additional-gids', '100', '--additional-gids', '65534').stdout).toContain(
      '100 65534',
    )
    expect(sh('grep NoNewPrivs /proc/self/status', '--no-new-privs').stdout).toMatch(/1$/m)
    const capabilities = (text: string) => /CapEff:\s+(\w+)/.exec(text)?.[1] ?? ''
    const own = BigInt(`0x${capabilities(sh('cat /proc/self/status').stdout)}`)
    const more = BigInt(`0x${capabilities(sh('cat /proc/self/status', '--cap', 'CAP_SYS_PTRACE').stdout)}`)
    expect(more ^ own).toBe(1n << 19n)
    // CVE-2022-29162: none becomes inheritable that the container's own are not.
    const passedOn = sh('cat /proc/self/status', '--cap', 'CAP_SYS_PTRACE').stdout
    expect(passedOn).toMatch(/CapInh:\s+0{16}/)
    expect(passedOn).toMatch(/CapAmb:\s+0{16}/)
  })

  it('gives HOME from the passwd file of the container', () => {
    expect(sh('echo $HOME').stdout).toBe('/root\n')
    expect(sh('echo $HOME', '--user', '1000').stdout).toBe('/home/user\n')
    expect(sh('echo $HOME', '--env', 'HOME=/x').stdout).toBe('/x\n')
  })

  it('takes a process file, with its own malformed fields refused', () => {
    const file = join(world.base, 'process.json')
    writeFileSync(
      file,
      JSON.stringify({
        cwd: '/',
        args: ['sh', '-c', 'echo $A'],
        env: ['A=file', 'PATH=/bin'],
        user: { uid: 0, gid: 0 },
      }),
    )
    expect(world.call(['exec', '--process', file, id])).toMatchObject({ status: 0, stdout: 'file\n' })
    writeFileSync(file, JSON.stringify({ cwd: 'relative', args: ['true'] }))
    expect(world.call(['exec', '--process', file, id])).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('process.cwd'),
    })
  })

  it('fails with 255 where the program or the container is missing', () => {
    expect(world.call(['exec', id, 'nonsense'])).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('executable file not found in $PATH'),
    })
    expect(world.call(['exec', 'nobody', 'true']).status).toBe(255)
    expect(world.call(['exec', id]).status).toBe(255)
  })

  it('has from the container what a process file leaves out, and no more than the file says', () => {
    const other = world.running(['sleep', '100'], (config) => (config.process.oomScoreAdj = 300))
    const file = join(world.base, 'defaults.json')
    const seen = (process: object) => {
      const args = ['sh', '-c', 'grep CapEff /proc/self/status; cat /proc/self/oom_score_adj']
      writeFileSync(file, JSON.stringify({ cwd: '/', args, ...process }))
      return world.must(['exec', '--process', file, other]).split(/\s+/).slice(1, 3)
    }
    const own = world.must(['exec', other, 'grep', 'CapEff', '/proc/self/status']).split(/\s+/)[1]
    expect(Number(`0x${own}`)).not.toBe(0)
    expect(seen({})).toEqual([own, '300'])
    expect(seen({ capabilities: {}, oomScoreAdj: 400 })).toEqual(['0000000000000000', '400'])
    world.must(['delete', '--force', other])
  })

  it('refuses a user of three parts', () => {
    const outcome = world.call(['exec', '--user', '1:2:3', id, 'true'])
    expect(outcome).toMatchObject({ status: 255, stderr: expect.stringContaining('--user takes numbers') })
  })

  it('leaves with --detach, and the pid file names a process of the container', async () => {
    const pidFile = join(world.base, 'exec.pid')
    world.must(['exec', '--detach', '--pid-file', pidFile, id, 'sleep', '777'], { detached: true })
    const pid = Number(readFileSync(pidFile, 'utf8'))
    await eventually(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1') === 'sleep\x00777\x00')
    expect(JSON.parse(world.must(['ps', '-f', 'json', id]))).toContain(pid)
    expect(world.call(['kill', '--all', id, 'CONT']).status).toBe(0)
  })

  it('passes on the descriptors that are preserved, and no other', () => {
    const file = join(world.base, 'passed')
    writeFileSync(file, 'from the caller')
    const fds = [openSync(file, 'r'), openSync(file, 'r')]
    try {
      const run = (...options: string[]) =>
        spawnSync(
          executable,
          ['--root', world.root, 'exec', ...options, id, 'sh', '-c', 'cat <&3; ls /proc/self/fd'],
          {
            stdio: ['ignore', 'pipe', 'pipe', ...fds],
            encoding: 'utf8',
          },
        )
      // ls itself holds the directory open as one more.
      expect(run('--preserve-fds', '1').stdout).toBe('from the caller0\n1\n2\n3\n4\n')
      expect(run().stdout).toBe('0\n1\n2\n3\n')
    } finally {
      fds.forEach(closeSync)
    }
  })

  it('sends the terminal to the console socket', async () => {
    const path = join(world.base, 'console')
    const master = receiveTerminal(path)
    world.must(['exec', '--tty', '--detach', '--console-socket', path, id, 'sh', '-c', 'tty; sleep 0.2'], {
      detached: true,
    })
    const text = await master
    expect(text).toMatch(/^\/dev\/pts\/\d+/)
    expect(world.call(['exec', '--tty', '--detach', id, 'true']).stderr).toContain('console socket')
  })

  it('shows a terminal of its own in the foreground', () => {
    const outcome = world.call(['exec', '--tty', id, 'sh', '-c', 'test -t 1 && echo terminal; exit 4'], {
      input: '',
    })
    expect(outcome).toMatchObject({ status: 4, stdout: 'terminal\r\n' })
  })

  it('joins a cgroup beneath the container’s', () => {
    expect(world.call(['exec', '--cgroup', 'nowhere', id, 'true'])).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('/nowhere/cgroup.procs: no such file or directory'),
    })
    expect(world.call(['exec', '--cgroup', '../..', id, 'true']).status).toBe(255)
  })

  it('does not find a container of another root', () => {
    const other = join(world.base, 'other-root')
    mkdirSync(other)
    const outcome = spawnSync(executable, ['--root', other, 'exec', id, 'true'], { encoding: 'utf8' })
    expect(outcome.stderr).toContain('container does not exist')
    expect(existsSync(join(other, id))).toBe(false)
  })
})

/** Listens as conmon does; resolves with the first line that the terminal shows. */
function receiveTerminal(path: string): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd
      const read = () => {
        const message = receiveMessage(fd, 64)
        if (message === undefined) return void setImmediate(read)
        socket.destroy()
        server.close()
        const master = message.fds[0]!
        const watch = watchFd(master, { readable: true }, () => {
          watch.close()
          resolve(readFd(master, 64)?.toString() ?? '')
          closeFd(master)
        })
      }
      read()
    })
    server.listen(path)
  })
}
