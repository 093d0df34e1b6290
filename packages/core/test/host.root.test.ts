import { readFileSync, readdirSync } from 'node:fs'
import { mkdirSync, rmdirSync } from 'node:fs'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { attachDeviceFilter } from '../src/bpf.ts'
import { closeFd } from '../src/descriptor.ts'
import { canIdmap, probeHost } from '../src/host.ts'
import { AT_FDCWD, O_DIRECTORY, openat2 } from '../src/path.ts'
import { describeAsRoot } from './as-root.ts'

describeAsRoot('probeHost', () => {
  it('finds out what this kernel can do, and leaves nothing behind', () => {
    const open = readdirSync('/proc/self/fd').length
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    const host = probeHost()
    expect(readdirSync('/proc/self/fd')).toHaveLength(open)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts)
    const atLeast = (minor: number) =>
      host.kernel.major > 6 || (host.kernel.major === 6 && host.kernel.minor >= minor)
    expect(host).toMatchObject({
      sealExec: atLeast(3),
      peerPidfd: atLeast(5),
      pidfdInfoExit: atLeast(15),
      overlayLowerFd: atLeast(15),
    })
    expect(host.capabilities).toContain(21) // CAP_SYS_ADMIN
    expect(probeHost()).toBe(host)
  })

  it('knows which file systems map ids', () => {
    expect(canIdmap('/proc')).toBe(false)
    expect(typeof canIdmap('/')).toBe('boolean')
  })
})

describeAsRoot('attachDeviceFilter', () => {
  it('refuses the device that the rules refuse, and lets the others be', () => {
    const layout = probeHost().cgroup
    const unified =
      layout.version === 2
        ? layout.mount
        : layout.hierarchies.find((each) => each.controllers.length === 0)?.mount
    expect(unified).toBeDefined()
    const path = join(unified!, `hf-core-test-${process.pid}`)
    mkdirSync(path)
    try {
      const cgroup = openat2(AT_FDCWD, path, { flags: O_DIRECTORY })
      attachDeviceFilter(cgroup, [
        { allow: false, type: 'a', major: '*', minor: '*', access: 'rwm' },
        { allow: true, type: 'c', major: 1, minor: 3, access: 'rw' },
      ])
      closeFd(cgroup)
      const script = `echo $$ > ${path}/cgroup.procs; cat /dev/null && echo null; head -c1 /dev/zero >/dev/null || echo no zero`
      const run = spawnSync('sh', ['-c', script], { encoding: 'utf8' })
      expect(run.stdout).toBe('null\nno zero\n')
      expect(run.stderr).toMatch(/not permitted/)
    } finally {
      rmdirSync(path)
    }
  })

  it('is not given up for a signal that arrives while the kernel checks it', async () => {
    const ignore = (): void => {}
    process.on('SIGUSR2', ignore)
    const sender = spawn('sh', ['-c', `echo; while kill -USR2 ${process.pid}; do sleep 0.001; done`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ended = once(sender, 'exit')
    await once(sender.stdout, 'data')
    const noCgroup = openat2(AT_FDCWD, '/proc', { flags: O_DIRECTORY })
    // As many as take the kernel longer than it is from one signal to the next.
    const rules = Array.from({ length: 500 }, (_, minor) => {
      return { allow: minor % 2 === 0, type: 'c' as const, major: 1, minor, access: 'r' }
    })
    try {
      // The program is loaded first, and what it is attached to looked at then.
      for (let count = 0; count < 2; count++) {
        expect(() => attachDeviceFilter(noCgroup, rules)).toThrow('bpf(BPF_PROG_ATTACH)')
      }
    } finally {
      sender.kill('SIGKILL')
      await ended
      process.off('SIGUSR2', ignore)
      closeFd(noCgroup)
    }
  })
})
