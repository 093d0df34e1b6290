import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const program = fileURLToPath(new URL('./main.ts', import.meta.url))

/** Runs `hold` with the words of its own first line, as the kernel would. */
async function hold(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [, words = ''] = /^#!\/usr\/bin\/env -S node (.*)$/m.exec(readFileSync(program, 'utf8')) ?? []
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--conditions=@holdfast/source', ...words.split(' ').filter(Boolean), program, ...argv],
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    )
  })
}

describe('hold', () => {
  it('reads --env-file itself, where Node would take it for its own', async () => {
    const { code, stderr } = await hold(
      '-H',
      'unix:///nosuch.sock',
      'run',
      '--env-file',
      '/nosuch.env',
      'busybox',
    )
    expect(stderr).toMatch(/^hold: .*\/nosuch\.env/)
    expect(code).toBe(125)
  })

  it('ends with 125 for a wrong flag, and with 1 for a wrong number of arguments', async () => {
    expect(await hold('ps', '--nosuch')).toEqual({
      code: 125,
      stdout: '',
      stderr: 'hold: unknown flag: --nosuch\n  hint: `hold COMMAND --help` lists the flags.\n',
    })
    expect((await hold('rename', 'a')).code).toBe(1)
  })

  it("takes docker's groups", async () => {
    const listed = await hold('-H', 'unix:///nosuch.sock', 'container', 'ls', '--format', 'json')
    expect(listed.stderr).toMatch(/^hold: no supervisor answers/)
    expect((await hold('image', 'ls', '--help')).stdout).toBe((await hold('images', '--help')).stdout)
    const { code, stderr } = await hold('container', 'nosuch')
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^hold: 'container nosuch' is not a hold command\n {2}hint: It has run, /),
    ])
  })

  it('says that no supervisor answers, and what to do', async () => {
    const { code, stderr } = await hold('-H', 'unix:///nosuch.sock', 'ps')
    expect(stderr).toBe(
      'hold: no supervisor answers on /nosuch.sock (ENOENT)\n' +
        '  hint: Start it with `hold supervisor`, or name its socket with -H unix:///path or HOLDFAST_HOST.\n',
    )
    expect(code).toBe(1)
  })

  it.each([
    ['before it answers', ''],
    ['in the middle of its answer', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n'],
  ])('says so when the supervisor is killed %s', async (_when, answered) => {
    const scratch = mkdtempSync(join(tmpdir(), 'hf-'))
    const path = `${scratch}/hf.sock`
    const server = createServer((socket) => {
      socket.once('data', () => socket.write(answered, () => socket.destroy()))
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const { code, stderr } = await hold('-H', `unix://${path}`, 'ps')
    server.close()
    rmSync(scratch, { recursive: true })
    expect(stderr).toMatch(/^hold: the supervisor hung up\n {2}hint: .*containers go on/)
    expect(code).toBe(1)
  })

  it('refuses detach keys that are none before it asks for a container', async () => {
    const { stderr } = await hold(
      '-H',
      'unix:///nosuch.sock',
      'run',
      '-i',
      '--detach-keys',
      'bogus-key',
      'busybox',
    )
    expect(stderr).toContain('invalid detach keys: unknown key "bogus-key"')
  })

  it.each([
    [['start', '-a', 'one', 'two'], 'you cannot start and attach multiple containers at once'],
    [['create', '--pull', 'often', 'busybox'], "invalid pull option: 'often'"],
    [['inspect', '--type', 'thing', 'one'], 'unknown type: "thing"'],
  ])('refuses %j before it asks for a container', async (argv, message) => {
    expect((await hold('-H', 'unix:///nosuch.sock', ...argv)).stderr).toContain(message)
  })

  it('has no colours where its output is no terminal', async () => {
    const { stdout } = await hold('doctor')
    expect(stdout).toContain('kernel')
    expect(stdout).not.toContain('\x1b')
  })
})
