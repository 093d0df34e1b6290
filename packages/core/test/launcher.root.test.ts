import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { afterAll, describe, expect, it } from 'vitest'
import { createNamespace, closeFd, enterNamespaces, TableWriter } from '../src/index.ts'

const directory = mkdtempSync(join(tmpdir(), 'hfl-'))
afterAll(() => rmSync(directory, { recursive: true }))

const program = new URL(`../prebuilds/${process.platform}-${process.arch}/launcher`, import.meta.url).pathname

interface End {
  code: number | null
  signal: string | null
  output: string
}

/** Runs the launcher on a table, as it stands, in mode `enter`. `said`: on descriptor 4, which then ends. */
async function carryOut(table: Buffer, said?: string): Promise<End> {
  const file = join(directory, 'table')
  writeFileSync(file, table)
  const fd = openSync(file, 'r')
  const fourth = said === undefined ? 'ignore' : 'pipe'
  const child = spawn(program, { argv0: 'launcher', stdio: ['ignore', 'pipe', 'ignore', fd, fourth] })
  closeSync(fd)
  ;(child.stdio[4] as Writable | null)?.end(said)
  let output = ''
  child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...end) => resolve(end)),
  )
  return { code, signal, output }
}

const setUp = (): TableWriter =>
  new TableWriter().step('unshare').u32(0x0400_0000).step('hostname').text('inside').step('umask').u32(0o27)

const execute = (writer: TableWriter): TableWriter =>
  writer.step('exec').flag(false).texts(['sh', '-c', 'hostname; umask']).texts(['PATH=/bin:/usr/bin'])

function table(): Buffer {
  return execute(setUp()).finish({ mode: 'enter', report: 'report' })
}

describe('the launcher', () => {
  it('carries out a table', async () => {
    expect(await carryOut(table())).toEqual({ code: 0, signal: null, output: 'inside\n0027\n' })
  })

  it('begins when it is told to, where it was started ahead, and hears at its door what to execute', async () => {
    const ahead = setUp()
      .step('clone')
      .u32(0)
      .fd(undefined)
      .step('door')
      .fd(undefined)
      .flag(true)
      .finish({ mode: 'enter', report: 'report', waits: true })
    const program = execute(new TableWriter()).stepBytes().toString('latin1')
    expect(await carryOut(ahead, `cc${program}`)).toEqual({ code: 0, signal: null, output: 'inside\n0027\n' })
    expect(await carryOut(ahead, '')).toEqual({ code: 0, signal: null, output: '' })
    for (const said of ['c', 'cc', `cc${program.slice(0, -9)}`])
      expect(await carryOut(ahead, said)).toEqual({ code: 126, signal: null, output: '' })
  })

  it('refuses a table that is cut anywhere, and executes nothing', async () => {
    const whole = table()
    for (let size = 0; size < whole.length; size += 3) {
      const cut = Buffer.from(whole.subarray(0, size))
      // Both what its header says it has, and what it has.
      if (size >= 8) cut.writeUInt32LE(size, 4)
      const { code, signal, output } = await carryOut(cut)
      expect([code === 125 || code === 126, signal, output], `cut at ${size}`).toEqual([true, null, ''])
    }
  })

  it('refuses lengths beyond the end, counts beyond reason, and unknown steps', async () => {
    const broken = (step: (writer: TableWriter) => void): Promise<End> => {
      const writer = new TableWriter()
      step(writer)
      return carryOut(writer.finish({ mode: 'enter', report: 'report' }))
    }
    const refused = { code: 126, signal: null, output: '' }
    expect(await broken((w) => w.step('hostname').u32(0xffff_ffff))).toEqual(refused)
    expect(await broken((w) => w.step('exec').flag(false).u32(0xffff_ffff).text('sh'))).toEqual(refused)
    expect(await broken((w) => w.step('exec').flag(false).texts(['sh']))).toEqual(refused)
    expect(await broken((w) => w.step('exec').flag(false).texts([]).texts([]))).toEqual(refused)
    expect(await broken((w) => w.step('hostname').u32(3).u32(0x0061_0062))).toEqual(refused) // a NUL inside
    const unknown = new TableWriter().step('umask').u32(0).finish({ mode: 'enter', report: 'report' })
    unknown.writeUInt32LE(9999, unknown.length - 12)
    expect(await carryOut(unknown)).toEqual(refused)
  })
})

describe('entering namespaces', () => {
  it('runs a program in them and hands on how it ended', async () => {
    const uts = createNamespace('uts')
    try {
      const inside = { namespaces: { uts }, env: ['PATH=/bin:/usr/bin'] }
      expect(await enterNamespaces({ ...inside, args: ['sh', '-c', 'hostname other && exit 3'] })).toEqual({
        exitCode: 3,
      })
      expect(await enterNamespaces({ ...inside, args: ['sh', '-c', 'test "$(hostname)" = other'] })).toEqual({
        exitCode: 0,
      })
      await expect(enterNamespaces({ ...inside, args: ['no-such-program'] })).rejects.toMatchObject({
        code: 'ENOENT',
        syscall: 'execve',
        path: 'no-such-program',
      })
    } finally {
      closeFd(uts)
    }
  })
})
