import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { opcodes } from './launch-opcodes.ts'

it('numbers each opcode as the launcher does, and each once', () => {
  const header = readFileSync(new URL('../launcher/opcodes.h', import.meta.url), 'utf8')
  const declared = [...header.matchAll(/X\((\w+), (\d+), op_(\w+)\)/g)]
  expect(Object.fromEntries(declared.map(([, name, number]) => [name, Number(number)]))).toEqual(opcodes)
  for (const [, name, , operation] of declared) expect(operation).toBe(name)
  expect(new Set(Object.values(opcodes)).size).toBe(declared.length)
})
