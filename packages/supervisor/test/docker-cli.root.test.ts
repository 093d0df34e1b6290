import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { busyboxTar, eventually, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

interface Outcome {
  code: number | null
  out: string
  err: string
}

/** One of this machine's disks, whatever is on it: nothing is written to it. */
const blockDevice = readdirSync('/sys/block').find((name) => existsSync(`/dev/${name}`))

describe.skipIf(!hasDockerCommand())("docker's own command", () => {
  let supervisor: TestSupervisor

  beforeAll(async () => {
    supervisor = await TestSupervisor.start()
    using scratch = temporaryDirectory()
    const imported = await docker(
      ['import', '-c', 'ENV PATH=/bin', '-c', 'CMD ["sh"]', '-', 'busybox'],
      busyboxTar(scratch.path),
    )
    expect(imported).toMatchObject({ code: 0, out: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/) })
  })

  afterAll(async () => {
    await supervisor?.[Symbol.asyncDispose]()
  })

  async function docker(args: string[], input?: string | Uint8Array): Promise<Outcome> {
    const child = spawn('docker', args, {
      env: { PATH: process.env['PATH'], DOCKER_HOST: `unix://${supervisor.socket}` },
    })
    child.stdin.on('error', () => {}) // it may end before it has read everything
    child.stdin.end(input ?? '')
    const outputs = Promise.all([text(child.stdout), text(child.stderr)])
    const timer = setTimeout(() => child.kill('SIGKILL'), 55_000)
    const [code] = (await once(child, 'exit')) as [number | null]
    clearTimeout(timer)
    const [out, err] = await outputs
    return { code, out, err }
  }

  it('loses nothing to a reader that comes later than the end, and waits for nobody meanwhile', async () => {
    const child = spawn('docker', ['run', '--name', 'long', 'busybox', 'seq', '1', '2000000'], {
      env: { PATH: process.env['PATH'], DOCKER_HOST: `unix://${supervisor.socket}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = ['ps', '-aq', '-f', 'name=long', '-f', 'status=exited']
    await eventually(async () => (await docker(ended)).out !== '')
    expect((await docker(['start', 'long'])).code).toBe(0)
    expect((await text(child.stdout)).endsWith('\n1999999\n2000000\n')).toBe(true)
    expect((await docker(['rm', '-f', 'long'])).code).toBe(0)
  })

  it('says so where output was lost, and ends', async () => {
    const args = ['run', '--name', 'lost', '--log-opt', 'max-size=100k', 'busybox', 'seq', '1', '3000000']
    const child = spawn('docker', args, {
      env: { PATH: process.env['PATH'], DOCKER_HOST: `unix://${supervisor.socket}` },
    })
    const err = text(child.stderr)
    const ended = ['ps', '-aq', '-f', 'name=lost', '-f', 'status=exited']
    await eventually(async () => (await docker(ended)).out !== '')
    const out = await text(child.stdout) // twenty megabytes, of which buffers hold some and the log a hundred thousand
    expect(out.endsWith('\n3000000\n')).toBe(false)
    expect(await err).toContain('the output breaks off here: this client read too slowly')
    expect((await docker(['rm', 'lost'])).code).toBe(0)
  })

  it('runs a container with its output and exit code', async () => {
    const { code, out, err } = await docker([
      'run',
      '--rm',
      'busybox',
      'sh',
      '-c',
      'echo out; echo err >&2; exit 3',
    ])
    expect({ code, out, err }).toEqual({ code: 3, out: 'out\n', err: 'err\n' })
    expect((await docker(['ps', '-aq'])).out).toBe('')
  })

  it('pipes into a container until the end of input', async () => {
    const input = 'x'.repeat(300_000)
    expect(await docker(['run', '-i', '--rm', 'busybox', 'cat'], input)).toEqual({
      code: 0,
      out: input,
      err: '',
    })
  })

  it.each([
    ['nosuch', 127, 'executable file not found'],
    ['', 127, 'executable file not found'],
    ['/etc', 126, 'permission denied'],
  ])('ends run of %s with %d', async (command, code, message) => {
    const outcome = await docker(['run', '--rm', 'busybox', command])
    expect(outcome.code).toBe(code)
    expect(outcome.err).toContain(message)
  })

  it('ends run of an image that is not there as dockerd without a registry does', async () => {
    const { code, err } = await docker(['run', '--rm', 'nosuch/image:zz', 'true'])
    expect(code).toBe(125)
    expect(err).toContain("Unable to find image 'nosuch/image:zz' locally")
    expect(err).toContain('pulling from registries is not built yet')
  })

  it('reports a command killed by a signal as 128 and its number', async () => {
    await docker(['create', '--name', 'killed', 'busybox', 'sleep', '100'])
    const started = docker(['start', '-a', 'killed'])
    await eventually(async () => (await docker(['kill', 'killed'])).code === 0)
    expect((await started).code).toBe(137)
    await docker(['rm', 'killed'])
  })

  it('execs, logs, pauses, renames, stops and removes', async () => {
    expect(
      (
        await docker([
          'run',
          '-d',
          '--name',
          'cc',
          'busybox',
          'sh',
          '-c',
          'echo hello; echo err >&2; exec sleep 100',
        ])
      ).code,
    ).toBe(0)
    expect(
      await docker([
        'exec',
        '-e',
        'A=1',
        '-w',
        '/tmp',
        '-u',
        '1000',
        'cc',
        'sh',
        '-c',
        'echo $A; pwd; id -u; exit 4',
      ]),
    ).toEqual({
      code: 4,
      out: '1\n/tmp\n1000\n',
      err: '',
    })
    expect(await docker(['exec', '-i', 'cc', 'cat'], 'abc')).toMatchObject({ code: 0, out: 'abc' })
    expect((await docker(['exec', 'cc', 'nosuch'])).code).toBe(127)
    expect((await docker(['exec', 'cc', ''])).code).toBe(127)
    const relative = await docker(['exec', '-w', 'tmp', 'cc', 'true'])
    expect(relative).toMatchObject({ code: 126, out: 'Cwd must be an absolute path\r\n' })
    const nobody = await docker(['exec', '-u', 'nosuch', 'cc', 'true'])
    expect(nobody.code).toBe(126)
    expect(nobody.out).toBe('unable to find user nosuch: no matching entries in passwd file\r\n')
    const nowhere = await docker(['exec', '-w', '/nosuch', 'cc', 'true'])
    expect(nowhere.code).toBe(126)
    expect(nowhere.out).toContain(
      'chdir to cwd ("/nosuch") set in config.json failed: no such file or directory',
    )
    expect(await docker(['logs', 'cc'])).toEqual({ code: 0, out: 'hello\n', err: 'err\n' })
    expect(await docker(['logs', '--details', 'cc'])).toEqual({ code: 0, out: ' hello\n', err: ' err\n' })
    expect(
      (await docker(['logs', '-t', '--tail', '1', 'cc'])).err +
        (await docker(['logs', '-t', '--tail', '1', 'cc'])).out,
    ).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z /)
    expect((await docker(['top', 'cc', '-o', 'pid,comm'])).out).toMatch(/^PID +COMMAND\n\d+ +sleep\n$/)
    expect((await docker(['pause', 'cc'])).code).toBe(0)
    expect((await docker(['ps', '--format', '{{.Status}}'])).out).toMatch(/^Up .* \(Paused\)\n$/)
    expect((await docker(['exec', 'cc', 'true'])).code).toBe(1)
    expect((await docker(['unpause', 'cc'])).code).toBe(0)
    expect((await docker(['rename', 'cc', 'second'])).code).toBe(0)
    const format = '{{.Name}} {{.State.Status}} {{.Config.Image}}'
    expect((await docker(['inspect', '-f', format, 'second'])).out).toBe('/second running busybox\n')
    expect((await docker(['rm', 'second'])).code).toBe(1)
    expect((await docker(['stop', '-t', '0', 'second'])).code).toBe(0)
    expect((await docker(['wait', 'second'])).out).toBe('137\n')
    expect((await docker(['rm', 'second'])).code).toBe(0)
    expect((await docker(['inspect', 'second'])).code).toBe(1)
  })

  it('says of images how much is used, and what their removal would free', async () => {
    const images = async (): Promise<string> => {
      const { out } = await docker(['system', 'df', '--format', '{{.Type}} {{.Active}} {{.Reclaimable}}'])
      return out.split('\n')[0]!
    }
    expect(await images()).toMatch(/^Images 0 [\d.]+MB \(100%\)$/)
    await docker(['create', '--name', 'user', 'busybox'])
    expect(await images()).toBe('Images 1 0B (0%)')
    await docker(['rm', 'user'])
  })

  it('gives a terminal where one is asked for, and follows its size', async () => {
    await docker(['run', '-dit', '--name', 'tty', 'busybox', 'sh'])
    const script = `docker -H unix://${supervisor.socket} exec -it tty sh -c 'tty; stty size'`
    const output = await new Promise<string>((resolve) => {
      execFile('script', ['-qec', `stty rows 33 cols 77; ${script}`, '/dev/null'], (_, out) => resolve(out))
    })
    expect(output).toContain('/dev/pts/')
    expect(output).toContain('33 77')
    await docker(['rm', '-f', 'tty'])
  })

  it('starts and attaches to what was created', async () => {
    await docker(['create', '-i', '--name', 'later', 'busybox', 'cat'])
    expect(await docker(['start', '-ai', 'later'], 'x')).toEqual({ code: 0, out: 'x', err: '' })
    expect((await docker(['rm', 'later'])).code).toBe(0)
  })

  it('makes, shows, keeps and removes volumes', async () => {
    expect((await docker(['volume', 'create', '--label', 'k=v', 'vol'])).out).toBe('vol\n')
    expect(
      (await docker(['run', '--name', 'user', '-v', 'vol:/v', 'busybox', 'sh', '-c', 'echo kept > /v/f']))
        .code,
    ).toBe(0)
    expect((await docker(['run', '--rm', '-v', 'vol:/v:ro', 'busybox', 'cat', '/v/f'])).out).toBe('kept\n')
    const inUse = await docker(['volume', 'rm', 'vol'])
    expect(inUse.code).toBe(1)
    expect(inUse.err).toContain('volume is in use')
    expect((await docker(['container', 'prune', '-f'])).code).toBe(0)
    expect((await docker(['volume', 'rm', 'vol'])).code).toBe(0)
    expect((await docker(['volume', 'ls', '-q'])).out).toBe('')
    expect((await docker(['run', '--rm', '-v', 'vol:/v', 'busybox', 'ls', '/v'])).out).toBe('')
    expect((await docker(['system', 'prune', '-f', '--volumes'])).code).toBe(0)
    expect((await docker(['volume', 'rm', 'nosuch'])).code).toBe(1)
  })

  it('attaches at any moment of a short life', async () => {
    const statuses = new Set<number>()
    for (let delay = 0; delay < 30; delay += 1) {
      const create = await supervisor.request('POST', '/containers/create', {
        Image: 'busybox',
        Cmd: ['true'],
      })
      const { Id } = create.json as { Id: string }
      await supervisor.request('POST', `/containers/${Id}/start`)
      await new Promise((resolve) => setTimeout(resolve, delay)) // the moment is what is tried
      statuses.add(await attachStatus(supervisor.socket, Id))
      await supervisor.request('DELETE', `/containers/${Id}?force=1`)
    }
    expect([...statuses]).toEqual([101])
  })

  it('publishes ports, says which, and who has one already', async () => {
    const port = await freePort()
    const command = [
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      `127.0.0.1:${port}:80`,
      '-p',
      '81/udp',
      'busybox',
      'httpd',
    ]
    expect((await docker([...command, '-f', '-h', '/www'])).code).toBe(0)
    expect((await docker(['port', 'web', '80'])).out).toBe(`127.0.0.1:${port}\n`)
    expect((await docker(['port', 'web', '81/udp'])).out).toMatch(/^0\.0\.0\.0:(\d+)\n\[::\]:\1\n$/)
    await eventually(async () => (await (await fetch(`http://127.0.0.1:${port}/`)).text()) === 'it works\n')
    const { code, err } = await docker(['run', '--rm', '-p', `${port}:80`, 'busybox', 'true'])
    expect(code).toBe(125)
    expect(err).toMatch(new RegExp(`port 0\\.0\\.0\\.0:${port}/tcp is in use by container`))
    expect(
      (await docker(['run', '--rm', '--network', 'container:web', 'busybox', 'wget', '-qO-', '127.0.0.1']))
        .out,
    ).toBe('it works\n')
    await docker(['rm', '-f', 'web'])
  })

  it('writes names and servers into /etc', async () => {
    const flags = [
      '--hostname',
      'box',
      '--domainname',
      'example.org',
      '--dns',
      '192.0.2.1',
      '--dns-search',
      'a.b',
    ]
    const hosts = ['--add-host', 'db:192.0.2.9', '--add-host', 'gw:host-gateway']
    const script = "hostname; cat /etc/hosts /etc/resolv.conf; ip route | awk '/default/ { print $3 }'"
    const { out } = await docker(['run', '--rm', ...flags, ...hosts, 'busybox', 'sh', '-c', script])
    const lines = out.trim().split('\n')
    expect(lines[0]).toBe('box')
    expect(out).toMatch(/^[\d.]+\tbox\.example\.org box$/m)
    expect(lines).toEqual(expect.arrayContaining(['192.0.2.9\tdb', 'nameserver 192.0.2.1', 'search a.b']))
    expect(lines).toContain(`${lines.at(-1)}\tgw`)
  })

  it('takes any name of up to 64 bytes for a hostname, as the kernel does', async () => {
    const { out } = await docker(['run', '--rm', '--hostname', 'a bä', 'busybox', 'hostname'])
    expect(out).toBe('a bä\n')
    for (const name of ['x'.repeat(65), 'ä'.repeat(33), 'a\n127.0.0.1 b']) {
      const { code, err } = await docker(['create', '--hostname', name, 'busybox'])
      expect([code, err]).toEqual([1, expect.stringContaining('invalid hostname')])
    }
  })

  it("binds a directory above the engine's own, and nothing that is being prepared in there", async () => {
    const script = "grep -c ' /above' /proc/self/mountinfo; ls /above"
    for (const flags of [[], ['--userns=host']]) {
      const { out, err } = await docker([
        'run',
        '--rm',
        ...flags,
        '-v',
        `${supervisor.root}:/above:ro`,
        'busybox',
        'sh',
        '-c',
        script,
      ])
      expect(err).toBe('')
      expect(out.split('\n')).toEqual(expect.arrayContaining(['1', 'data', 'run']))
    }
  })

  it.skipIf(!blockDevice)("limits what goes through a block device, by the device's path", async () => {
    const limit = ['--device-write-bps', `/dev/${blockDevice}:1mb`]
    const show = 'cat /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device /sys/fs/cgroup/io.max 2>/dev/null'
    const { out } = await docker(['run', '--name', 'slow', ...limit, 'busybox', 'sh', '-c', show])
    const number = readFileSync(`/sys/block/${blockDevice}/dev`, 'utf8').trim()
    expect(out).toMatch(new RegExp(`^${number} (1048576|.*wbps=1048576)`))
    const { out: shown } = await docker(['inspect', '-f', '{{json .HostConfig.BlkioDeviceWriteBps}}', 'slow'])
    expect(JSON.parse(shown)).toEqual([{ Path: `/dev/${blockDevice}`, Rate: 1048576 }])
    expect((await docker(['rm', 'slow'])).code).toBe(0)
  })

  it('mounts a part of a volume, and nothing outside of it', async () => {
    const script = 'mkdir -p /all/a/b && echo in > /all/a/b/file && ln -s /etc /all/out && ln -s a /all/near'
    await docker(['run', '--rm', '-v', 'parts:/all', 'busybox', 'sh', '-c', script])
    const mount = (part: string) => `type=volume,src=parts,dst=/part,volume-subpath=${part}`
    const show = (part: string, path: string) =>
      docker(['run', '--rm', '--mount', mount(part), 'busybox', 'cat', path])
    expect(await show('a/b', '/part/file')).toMatchObject({ code: 0, out: 'in\n' })
    expect(await show('near', '/part/b/file')).toMatchObject({ code: 0, out: 'in\n' })
    expect(await show('a/b/file', '/part')).toMatchObject({ code: 0, out: 'in\n' })
    expect((await show('nosuch', '/part')).err).toMatch(
      /cannot access path .*\/parts\/_data\/nosuch: no such file or directory/,
    )
    expect((await show('out', '/part/passwd')).err).toMatch(/path .* escapes from its volume/)
    expect((await show('../..', '/part')).err).toContain('subpath must be a relative path within the volume')
    // It is gone between two starts; who takes the volumes of others takes the same part.
    await docker(['run', '--name', 'part', '--mount', mount('a/b'), 'busybox', 'true'])
    const others = ['run', '--rm', '--volumes-from', 'part', 'busybox', 'cat', '/part/file']
    expect((await docker(others)).out).toBe('in\n')
    await docker(['run', '--rm', '-v', 'parts:/all', 'busybox', 'rm', '-r', '/all/a'])
    expect((await docker(['start', 'part'])).err).toContain('cannot access path')
    expect((await docker(['rm', 'part'])).code).toBe(0)
    expect((await docker(['volume', 'rm', 'parts'])).code).toBe(0)
  })

  it('mounts binds, tmpfs and the volumes of others', async () => {
    using scratch = temporaryDirectory()
    const source = join(scratch.path, 'with space')
    mkdirSync(source)
    writeFileSync(join(source, 'f'), 'bound\n')
    const readonly = await docker([
      'run',
      '--rm',
      '-v',
      `${source}:/b:ro`,
      'busybox',
      'sh',
      '-c',
      'cat /b/f; touch /b/x',
    ])
    expect(readonly).toMatchObject({
      code: 1,
      out: 'bound\n',
      err: expect.stringContaining('Read-only file system'),
    })
    const mount = `type=bind,source=${join(scratch.path, 'none')},target=/b`
    expect((await docker(['run', '--rm', '--mount', mount, 'busybox', 'true'])).err).toContain(
      'path does not exist',
    )
    const tmpfs = await docker([
      'run',
      '--rm',
      '--tmpfs',
      '/t:size=64k,mode=700',
      'busybox',
      'stat',
      '-c',
      '%a',
      '/t',
    ])
    expect(tmpfs.out).toBe('700\n')
    // An anonymous volume begins with what the image has there.
    const before = (await docker(['volume', 'ls', '-q'])).out
    await docker(['run', '--name', 'first', '-v', '/www', 'busybox', 'sh', '-c', 'echo more > /www/more'])
    expect((await docker(['run', '--rm', '--volumes-from', 'first', 'busybox', 'ls', '/www'])).out).toBe(
      'index.html\nmore\n',
    )
    await docker(['rm', '-v', 'first'])
    expect((await docker(['volume', 'ls', '-q'])).out).toBe(before)
  })

  it('sets limits and rights, and refuses what is not there', async () => {
    const flags = [
      '-m',
      '64m',
      '--pids-limit',
      '30',
      '--ulimit',
      'nofile=100:200',
      '--cap-drop',
      'ALL',
      '--init',
    ]
    const script = 'ulimit -n; ulimit -Hn; grep CapEff /proc/self/status; ps | head -2 | tail -1'
    const limited = await docker(['run', '--rm', ...flags, 'busybox', 'sh', '-c', script])
    expect(limited.out).toMatch(/^100\n200\nCapEff:\t0{16}\n +1 root +holdfast: init\n$/)
    expect(limited.code).toBe(0)
    expect((await docker(['run', '--rm', '--read-only', 'busybox', 'touch', '/x'])).err).toContain(
      'Read-only',
    )
    expect((await docker(['run', '--rm', '-u', 'user', 'busybox', 'id', '-Gn'])).out).toBe('user wheel\n')
    for (const [flag, value, message] of [
      ['--cpuset-cpus', '4000', 'Requested CPUs are not available'],
      ['--cap-add', 'NOSUCH', 'unknown capability'],
      ['--cgroup-parent', '../x', 'must not contain'],
      ['--device', '/dev/nosuch', 'no such file'],
    ] as const) {
      const { code, err } = await docker(['create', flag, value, 'busybox'])
      expect([code, err]).toEqual([1, expect.stringContaining(message)])
    }
  })

  it('attaches several clients to one container', async () => {
    await docker([
      'run',
      '-di',
      '--name',
      'shared',
      'busybox',
      'sh',
      '-c',
      'while read l; do echo got $l; done',
    ])
    const readers = [1, 2].map(() => docker(['attach', '--no-stdin', '--sig-proxy=false', 'shared']))
    const writer = docker(['start', '-ai', 'shared'], 'hello\n') // a running one is attached to
    await eventually(async () => (await docker(['logs', 'shared'])).out === 'got hello\n')
    await docker(['rm', '-f', 'shared'])
    // Its input is over, and others may have more for the container: it is let go, as by dockerd, whatever comes after.
    expect(['', 'got hello\n']).toContain((await writer).out)
    for (const reader of readers) expect(['', 'got hello\n']).toContain((await reader).out)
  })

  it('passes a signal on to the container', async () => {
    const script = 'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
    const child = spawn('docker', ['run', '--rm', 'busybox', 'sh', '-c', script], {
      env: { PATH: process.env['PATH'], DOCKER_HOST: `unix://${supervisor.socket}` },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk
      if (out === 'ready\n') child.kill('SIGTERM')
    })
    expect(await once(child, 'close')).toEqual([7, null])
    expect(out).toBe('ready\ncaught\n')
  })

  it('names a missing network instead of pulling', async () => {
    const { code, err } = await docker(['run', '--rm', '--network', 'nosuch', 'busybox', 'true'])
    expect(code).toBe(125)
    expect(err).toContain('network nosuch not found')
    expect(err).not.toContain('pull')
  })

  it('refuses a field it cannot honour by name', async () => {
    const { code, err } = await docker(['run', '--restart', 'always', 'busybox', 'true'])
    expect(code).toBe(125)
    expect(err).toContain("restart policy 'always'")
    const storage = await docker(['run', '--storage-opt', 'size=1g', 'busybox'])
    expect(storage.err).toContain('HostConfig.StorageOpt is not supported')
  })

  it('shows events, images, history and the engine', async () => {
    const now = Math.floor(Date.now() / 1000)
    await docker(['run', '--rm', '--name', 'seen', 'busybox', 'true'])
    const events = await docker([
      'events',
      '--since',
      String(now),
      '--until',
      String(now + 2),
      '-f',
      'container=seen',
      '--format',
      '{{.Action}}',
    ])
    expect(events.out.trim().split('\n')).toEqual(
      expect.arrayContaining(['create', 'attach', 'start', 'die', 'destroy']),
    )
    expect((await docker(['images', '--format', '{{.Repository}}:{{.Tag}}'])).out).toBe('busybox:latest\n')
    expect((await docker(['history', '-q', 'busybox'])).code).toBe(0)
    expect((await docker(['tag', 'busybox', 'other:x'])).code).toBe(0)
    expect((await docker(['rmi', 'other:x'])).out).toBe('Untagged: other:x\n')
    for (const command of ['info', 'version']) expect((await docker([command])).code).toBe(0)
    expect((await docker(['system', 'df'])).code).toBe(0)
    expect((await docker(['network', 'ls', '--format', '{{.Name}}'])).out.split('\n').sort().join(' ')).toBe(
      ' bridge host none',
    )
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function hasDockerCommand(): boolean {
  try {
    execFileSync('docker', ['--version'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

function attachStatus(socketPath: string, id: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'tcp' }
    const message = request({
      socketPath,
      method: 'POST',
      path: `/containers/${id}/attach?stream=1&stdout=1`,
      headers,
    })
    message.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode ?? 0)
    })
    message.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    message.on('error', reject)
    message.end()
  })
}
