import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { keepCompiledSeccomp } from './seccomp-cache.ts'
import { compileSeccomp, seccompActions, syscallNumber, type SeccompProfile } from './seccomp.ts'

const arch = process.arch === 'arm64' ? 0xc000_00b7 : 0xc000_003e
const EPERM = 0x0005_0001
const ALLOW = seccompActions.SCMP_ACT_ALLOW!

/** Runs a classic BPF filter on one system call, as seccomp(2) does; the action that it returns. */
function run(program: Buffer, name: string, args: bigint[] = [], audit = arch): number {
  const data = Buffer.alloc(64)
  data.writeInt32LE(syscallNumber(name)!, 0)
  data.writeUInt32LE(audit, 4)
  args.forEach((arg, index) => data.writeBigUInt64LE(arg, 16 + 8 * index))
  let a = 0
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt16LE(at * 8)
    const [yes, no] = [program.readUInt8(at * 8 + 2), program.readUInt8(at * 8 + 3)]
    const k = program.readUInt32LE(at * 8 + 4)
    if (code === 0x20) a = data.readUInt32LE(k)
    else if (code === 0x54) a = (a & k) >>> 0
    else if (code === 0x05) at += k
    else if (code === 0x15) at += a === k ? yes : no
    else if (code === 0x25) at += a > k ? yes : no
    else if (code === 0x35) at += a >= k ? yes : no
    else if (code === 0x06) return k
    else throw new Error(`instruction 0x${code.toString(16)}`)
  }
  throw new Error('ran off the end')
}

const profile = (
  syscalls: SeccompProfile['syscalls'],
  more: Partial<SeccompProfile> = {},
): SeccompProfile => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: syscalls!,
  ...more,
})

describe('compileSeccomp', () => {
  it('allows what is listed and refuses the rest', () => {
    const { program } = compileSeccomp(profile([{ names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' }]))
    expect(run(program, 'read')).toBe(ALLOW)
    expect(run(program, 'mount')).toBe(EPERM)
  })

  it('kills a call of another architecture', () => {
    const { program } = compileSeccomp(profile([{ names: ['read'], action: 'SCMP_ACT_ALLOW' }]))
    expect(run(program, 'read', [], 0x4000_0003)).toBe(0)
  })

  it.runIf(process.arch === 'x64')(
    'filters several architectures, with calls that libseccomp has no name for',
    () => {
      const names = ['read', 'fchmodat2']
      const architectures = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']
      const { program, skipped } = compileSeccomp(
        profile([{ names, action: 'SCMP_ACT_ALLOW' }], { architectures }),
      )
      expect(skipped).toEqual([])
      expect(run(program, 'fchmodat2')).toBe(ALLOW)
      const i386 = 0x4000_0003
      expect(run(program, 'read', [], i386)).toBe(EPERM) // number 0 there is restart_syscall
      expect(run(program, 'close', [], i386)).toBe(ALLOW) // number 3 there is read
    },
  )

  it('compares all 64 bits of an argument', () => {
    const value = 0x1_0000_0002n
    const { program } = compileSeccomp(
      profile([
        { names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] },
      ]),
    )
    expect(run(program, 'personality', [value])).toBe(ALLOW)
    expect(run(program, 'personality', [2n])).toBe(EPERM)
  })

  it('masks as SCMP_CMP_MASKED_EQ says: value is the mask', () => {
    const { program } = compileSeccomp(
      profile([
        {
          names: ['clone'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 0, value: 0x7e02_0000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
        },
      ]),
    )
    expect(run(program, 'clone', [0x11n])).toBe(ALLOW)
    expect(run(program, 'clone', [0x1000_0011n])).toBe(EPERM)
  })

  it('takes several conditions on one argument for alternatives, as runc does', () => {
    const args = [2, 3].map((value) => ({ index: 0, value, op: 'SCMP_CMP_EQ' }))
    const { program } = compileSeccomp(profile([{ names: ['personality'], action: 'SCMP_ACT_ALLOW', args }]))
    expect([2n, 3n, 4n].map((value) => run(program, 'personality', [value]))).toEqual([ALLOW, ALLOW, EPERM])
  })

  it('returns the errno asked for', () => {
    const { program } = compileSeccomp(
      profile([
        { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
        { names: ['read'], action: 'SCMP_ACT_ALLOW' },
      ]),
    )
    expect(run(program, 'clone3')).toBe(0x0005_0026)
  })

  it('skips names that it does not know, and says which', () => {
    const names = ['read', 'no_such_call']
    const compiled = compileSeccomp(profile([{ names, action: 'SCMP_ACT_ALLOW' }]))
    expect(compiled.skipped).toEqual(['no_such_call'])
    expect(run(compiled.program, 'read')).toBe(ALLOW)
  })

  it('knows calls that are newer than the library', () => {
    const { program } = compileSeccomp(profile([{ names: ['fchmodat2', 'mseal'], action: 'SCMP_ACT_ALLOW' }]))
    expect(run(program, 'mseal')).toBe(ALLOW)
    expect(run(program, 'statmount')).toBe(EPERM)
  })

  it('says no to a call newer than the profile with ENOSYS, so that programs fall back', () => {
    const { program } = compileSeccomp(profile([{ names: ['read', 'openat2'], action: 'SCMP_ACT_ALLOW' }]))
    expect(run(program, 'statmount')).toBe(0x0005_0026)
    expect(run(program, 'mount')).toBe(EPERM)
  })

  it('compiles an equal profile once', () => {
    const make = () => profile([{ names: ['write'], action: 'SCMP_ACT_ALLOW' }])
    expect(compileSeccomp(make())).toBe(compileSeccomp(make()))
  })

  it('keeps compiled filters in a directory, by profile, and takes none from there that was cut short', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hf-core-'))
    onTestFinished(() => {
      keepCompiledSeccomp(undefined)
      rmSync(dir, { recursive: true })
    })
    keepCompiledSeccomp(dir)
    const compiled = compileSeccomp(profile([{ names: ['read', 'nope'], action: 'SCMP_ACT_ALLOW' }]))
    const [name] = readdirSync(dir)
    const script = `
      import { compileSeccomp, keepCompiledSeccomp } from '@holdfast/core'
      keepCompiledSeccomp(process.argv[1])
      const compiled = compileSeccomp(JSON.parse(process.argv[2]))
      console.log(compiled.program.toString('hex'), compiled.skipped.join())`
    const again = (names: string[]) =>
      execFileSync(
        process.execPath,
        [
          '--conditions=@holdfast/source',
          '--input-type=module',
          '-e',
          script,
          dir,
          JSON.stringify(profile([{ names, action: 'SCMP_ACT_ALLOW' }])),
        ],
        { cwd: import.meta.dirname, encoding: 'utf8' },
      )
    // Marked, to see that it is the file's content that comes back.
    const path = join(dir, name!)
    const marked = readFileSync(path)
    marked[marked.length - 1] = 0x55
    writeFileSync(path, marked)
    expect(again(['read', 'nope'])).toBe(`${compiled.program.toString('hex').slice(0, -2)}55 nope\n`)
    writeFileSync(path, marked.subarray(0, -8))
    expect(again(['read', 'nope'])).toBe(`${compiled.program.toString('hex')} nope\n`)
    expect(readdirSync(dir)).toHaveLength(1)
    again(['exit', 'nope'])
    expect(readdirSync(dir)).toHaveLength(2)
  })

  it('tells profiles apart that differ in a 64-bit operand alone', () => {
    const make = (value: bigint) =>
      profile([
        { names: ['personality'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] },
      ])
    expect(compileSeccomp(make(1n << 60n))).toBe(compileSeccomp(make(1n << 60n)))
    expect(compileSeccomp(make(1n << 60n))).not.toBe(compileSeccomp(make((1n << 60n) + 1n)))
  })

  it('returns the flags for seccomp(2), and whether somebody listens', () => {
    const compiled = compileSeccomp(
      profile([{ names: ['mount'], action: 'SCMP_ACT_NOTIFY' }], {
        flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'],
      }),
    )
    expect(compiled).toMatchObject({ flags: 6, listener: true })
  })

  it('leaves out flags that the kernel refuses with a listener, and those that it refuses without', () => {
    const flags = ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']
    const of = (action: string) => compileSeccomp(profile([{ names: ['mount'], action }], { flags })).flags
    expect(of('SCMP_ACT_NOTIFY')).toBe(0x20)
    expect(of('SCMP_ACT_ALLOW')).toBe(0x01)
  })

  it('refuses words that it does not know', () => {
    expect(() => compileSeccomp({ defaultAction: 'SCMP_ACT_MAYBE' })).toThrow(/defaultAction/)
    expect(() => compileSeccomp({ defaultAction: 'constructor' })).toThrow(/defaultAction/)
    expect(() => compileSeccomp(profile([], { architectures: ['SCMP_ARCH_VAX'] }))).toThrow(/seccomp|arch/)
    expect(() => compileSeccomp(profile([], { flags: ['X'] }))).toThrow(/flags/)
    const args = [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }]
    expect(() => compileSeccomp(profile([{ names: ['read'], action: 'SCMP_ACT_ALLOW', args }]))).toThrow(
      /index/,
    )
  })
})

describe('system call names', () => {
  it('have numbers, those that libseccomp is too old for as well', () => {
    expect(syscallNumber('openat2')).toBe(437)
    expect(syscallNumber('listmount')).toBe(458)
    expect(syscallNumber('no_such_call')).toBeUndefined()
  })
})
