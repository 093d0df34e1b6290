import { describe, expect, it } from 'vitest'
import { deviceProgram, type DeviceFilterRule } from './bpf.ts'

const access = { m: 1, r: 2, w: 4 } as const

/** Runs a program as the kernel would, as far as these programs go: the answer to one request. */
function run(program: Buffer, type: 'b' | 'c', major: number, minor: number, want: string): boolean {
  const wanted = want.split('').reduce((bits, letter) => bits | access[letter as keyof typeof access], 0)
  const context = [(wanted << 16) | (type === 'b' ? 1 : 2), major, minor]
  const registers = new Int32Array(11)
  for (let at = 0; at < program.length / 8; at++) {
    const code = program.readUInt8(at * 8)
    const to = program.readUInt8(at * 8 + 1) & 15
    const from = program.readUInt8(at * 8 + 1) >> 4
    const offset = program.readInt16LE(at * 8 + 2)
    const value = program.readInt32LE(at * 8 + 4)
    switch (code) {
      case 0x61:
        registers[to] = context[offset / 4]!
        break
      case 0xbc:
        registers[to] = registers[from]!
        break
      case 0xb4:
        registers[to] = value
        break
      case 0x74:
        registers[to] = registers[to]! >>> value
        break
      case 0x54:
        registers[to] = registers[to]! & value
        break
      case 0x16:
        if (registers[to] === value) at += offset
        break
      case 0x56:
        if (registers[to] !== value) at += offset
        break
      case 0x95:
        return registers[0] === 1
      default:
        throw new Error(`instruction 0x${code.toString(16)}`)
    }
  }
  throw new Error('ran off the end')
}

const denyAll: DeviceFilterRule = { allow: false, type: 'a', major: '*', minor: '*', access: 'rwm' }
const char = (major: number | '*', minor: number | '*', letters: string, allow = true): DeviceFilterRule => ({
  allow,
  type: 'c',
  major,
  minor,
  access: letters,
})

describe('deviceProgram', () => {
  it('refuses what no rule mentions', () => {
    expect(run(deviceProgram([]), 'c', 1, 3, 'r')).toBe(false)
    expect(run(deviceProgram([denyAll, char(1, 3, 'rwm')]), 'c', 1, 5, 'r')).toBe(false)
    expect(run(deviceProgram([denyAll, char(1, 3, 'rwm')]), 'b', 1, 3, 'r')).toBe(false)
  })

  it('grants exactly the accesses of a rule', () => {
    const program = deviceProgram([denyAll, char(10, 200, 'rw')])
    expect(run(program, 'c', 10, 200, 'rw')).toBe(true)
    expect(run(program, 'c', 10, 200, 'w')).toBe(true)
    expect(run(program, 'c', 10, 200, 'rm')).toBe(false)
  })

  it('adds up the accesses of several rules', () => {
    const program = deviceProgram([denyAll, char('*', '*', 'm'), char(1, 3, 'r'), char(1, '*', 'w')])
    expect(run(program, 'c', 1, 3, 'rwm')).toBe(true)
    expect(run(program, 'c', 1, 4, 'rw')).toBe(false)
    expect(run(program, 'c', 7, 7, 'm')).toBe(true)
  })

  it('lets a later rule override an earlier one', () => {
    expect(run(deviceProgram([char(1, 3, 'rw'), char(1, 3, 'w', false)]), 'c', 1, 3, 'rw')).toBe(false)
    expect(run(deviceProgram([char(1, 3, 'rw'), char(1, 3, 'w', false)]), 'c', 1, 3, 'r')).toBe(true)
    expect(run(deviceProgram([char(1, 3, 'w', false), char(1, 3, 'rw')]), 'c', 1, 3, 'rw')).toBe(true)
  })

  it('takes a rule of type a for every device', () => {
    const program = deviceProgram([denyAll, { ...denyAll, allow: true, major: 5, minor: 5 }])
    expect(run(program, 'b', 8, 0, 'rwm')).toBe(true)
  })

  it('refuses malformed rules', () => {
    expect(() => deviceProgram([char(1, 3, 'x')])).toThrow(/rwm/)
    expect(() => deviceProgram([char(-1, 3, 'r')])).toThrow(/major/)
    expect(() => deviceProgram([{ ...denyAll, type: 'p' as 'c' }])).toThrow(/type/)
  })
})
