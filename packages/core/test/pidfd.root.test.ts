import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync, readlinkSync } from 'node:fs'
import { expect, it } from 'vitest'
import { closeFd, pipe2, writeFd } from '../src/descriptor.ts'
import {
  pidfdGetfd,
  pidfdInfo,
  pidfdOpen,
  pidfdSendSignal,
  pidfdWait,
  processStartTime,
  processStat,
} from '../src/pidfd.ts'
import { watchFd, type WatchEvents } from '../src/watch.ts'
import { describeAsRoot } from './as-root.ts'

describeAsRoot('pidfds', () => {
  it('sees a process to its end, and how it ended after somebody else reaped it', async () => {
    const child = spawn('sh', ['-c', 'kill -TERM $$'], { stdio: ['pipe', 'ignore', 'ignore'] })
    const pidfd = pidfdOpen(child.pid!)
    const hungUp = Promise.withResolvers<WatchEvents>()
    const watch = watchFd(pidfd, { hangup: true }, hungUp.resolve)
    await once(child, 'exit')
    expect(await hungUp.promise).toMatchObject({ hangup: true })
    watch.close()
    expect(pidfdInfo(pidfd)?.exit).toEqual({ signal: 15 })
    expect(() => pidfdWait(pidfd)).toThrow(/ECHILD/)
    expect(() => pidfdSendSignal(pidfd, 0)).toThrow(/ESRCH/)
    closeFd(pidfd)
  })

  it('tells what it knows of a living process', async () => {
    const child = spawn('sleep', ['100'])
    const pidfd = pidfdOpen(child.pid!)
    expect(pidfdInfo(pidfd)).toMatchObject({
      pid: child.pid,
      ppid: process.pid,
      uid: 0,
      gid: 0,
      exit: undefined,
    })
    const ticks = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 100
    expect(Number(processStartTime(child.pid!))).toBeGreaterThan(ticks - 1000)
    pidfdSendSignal(pidfd, 'SIGKILL')
    await once(child, 'exit')
    expect(processStartTime(child.pid!)).toBeUndefined()
    closeFd(pidfd)
  })

  it('tells a zombie from a process that runs', async () => {
    const parent = spawn('sh', ['-c', 'sleep 100 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const pid = Number(String((await once(parent.stdout!, 'data'))[0]))
    parent.kill('SIGSTOP') // so that nobody reaps it
    await expect.poll(() => processStat(parent.pid!)?.state, { timeout: 10_000 }).toBe('T')
    const pidfd = pidfdOpen(pid)
    pidfdSendSignal(pidfd, 'SIGKILL')
    const ended = Promise.withResolvers<WatchEvents>()
    const watch = watchFd(pidfd, { readable: true }, ended.resolve)
    await ended.promise
    watch.close()
    closeFd(pidfd)
    expect(processStat(pid)).toEqual({ state: 'Z', startTime: processStartTime(pid) })
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  })

  it("takes a copy of another process's descriptor", async () => {
    const file = openSync('/dev/zero', 'r')
    const child = spawn('sleep', ['100'], { stdio: [file, 'ignore', 'ignore'] })
    const pidfd = pidfdOpen(child.pid!)
    const copy = pidfdGetfd(pidfd, 0)
    expect(readlinkSync(`/proc/self/fd/${copy}`)).toBe('/dev/zero')
    child.kill()
    await once(child, 'exit')
    for (const fd of [file, pidfd, copy]) closeFd(fd)
  })
})

describeAsRoot('watchFd', () => {
  it('tells input from a hang-up beside it', async () => {
    const { read, write } = pipe2()
    const seen: WatchEvents[] = []
    let wake = () => {}
    const watch = watchFd(read, { readable: true, hangup: true }, (events) => {
      seen.push(events)
      wake()
    })
    const next = () => new Promise<void>((resolve) => (wake = resolve))
    const first = next()
    writeFd(write, 'x')
    await first
    expect(seen[0]).toEqual({ readable: true, writable: false, hangup: false, error: false })
    closeFd(write)
    seen.length = 0
    await next()
    expect(seen.at(-1)).toMatchObject({ readable: true, hangup: true })
    watch.close()
    closeFd(read)
  })

  it('reports a reader that went away, once, as an error', async () => {
    const { read, write } = pipe2()
    const error = Promise.withResolvers<WatchEvents>()
    const watch = watchFd(write, { hangup: true }, error.resolve)
    closeFd(read)
    expect(await error.promise).toMatchObject({ error: true })
    watch.close()
    closeFd(write)
  })

  it('waits for what it is told to wait for', async () => {
    const { read, write } = pipe2()
    let calls = 0
    const watch = watchFd(write, {}, () => calls++)
    const other = pipe2()
    const done = Promise.withResolvers<void>()
    const second = watchFd(other.read, { readable: true }, () => done.resolve())
    writeFd(other.write, 'x')
    await done.promise
    expect(calls).toBe(0)
    second.close()
    const writable = Promise.withResolvers<void>()
    watch.close()
    const again = watchFd(write, {}, () => writable.resolve())
    again.update({ writable: true })
    await writable.promise
    again.close()
    for (const fd of [read, write, other.read, other.write]) closeFd(fd)
  })

  it('refuses what epoll refuses', () => {
    const file = openSync('/etc/hostname', 'r')
    expect(() => watchFd(file, { readable: true }, () => {})).toThrow(/EPERM/)
    closeFd(file)
  })
})
