/// <reference lib="esnext.disposable" />
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { processesIn, processTitle } from './processes-in.ts'
import { temporaryDirectory } from './temporary-directory.ts'

it.each([
  ['a file', `fs.openSync(directory + '/file', 'a'); say()`],
  ['a socket', `net.createServer().listen(directory + '/socket', say)`],
])('finds a process that shows a title alone by %s beneath the directory', async (_what, hold) => {
  using scratch = temporaryDirectory()
  const directory = scratch.path
  const script = `const [directory] = process.argv.slice(1)
    const say = () => { process.title = 'holdfast: test'; console.log('ready') }
    ${hold}
    setInterval(() => {}, 60_000)`
  const child = spawn(process.execPath, ['-e', script, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    expect(processTitle(String(child.pid))).toBe('holdfast: test')
    expect(processesIn(directory)).toEqual([String(child.pid)])
    expect(processesIn(`${directory}-other`)).toEqual([])
  } finally {
    child.kill('SIGKILL')
  }
})
