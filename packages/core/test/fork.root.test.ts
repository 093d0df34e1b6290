import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { forkProcess } from '../src/fork.ts'
import { describeAsRoot } from './as-root.ts'

const fixture = new URL('./fixtures/forked.ts', import.meta.url).pathname
const forkable = ['--v8-pool-size=0', '--single-threaded']

describeAsRoot('forkProcess', () => {
  it('makes a child that collects garbage, sleeps, reads, serves, starts programs and takes signals', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...forkable, '--expose-gc', '--conditions=@holdfast/source', fixture],
      {
        env: {},
        timeout: 60_000,
      },
    )
    const [child, parent] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
    expect(child).toEqual({
      churned: 6000,
      maps: true,
      echoed: 'hello',
      child: '2\n',
      heard: 'ping',
      ownPid: true,
      ownSession: true,
      hash: 'ca978112',
      random: 4,
      signalled: true,
    })
    expect(parent).toEqual({ parent: true, exit: { exitCode: 7 } })
  })

  it.each([
    { way: 'exit', exitCode: 3, said: '' },
    { way: 'empty loop', exitCode: 0, said: '' },
    { way: 'exit code', exitCode: 5, said: '' },
    { way: 'throw', exitCode: 1, said: 'Error: thrown' },
    { way: 'throw without standard error', exitCode: 1, said: '' },
    { way: 'reject', exitCode: 1, said: 'Error: rejected' },
    { way: 'failing listener', exitCode: 0, said: 'Error: in a listener' },
  ])('lets a child end by $way, after its listeners, with the exit code', async ({ way, exitCode, said }) => {
    const end = new URL('./fixtures/forked-end.mjs', import.meta.url).pathname
    const run = promisify(execFile)(process.execPath, [...forkable, end, way], {
      env: {},
      timeout: 60_000,
    })
    const { stdout, stderr } = await run
    expect(stdout).toBe(`listener ${exitCode}\n{"exitCode":${exitCode}}\n`)
    expect(stderr).toContain(said)
  })

  it('refuses a process with helper threads', () => {
    expect(() => forkProcess()).toThrow(/--v8-pool-size=0/)
  })
})
