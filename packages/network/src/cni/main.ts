/**
 * `holdfast-bridge`, the CNI plugin. It needs neither the engine nor any daemon. The front end (front/main.c) starts it
 * as a helper, which answers many calls; without one, and from `node_modules/.bin`, it answers one: from the environment
 * and standard input to standard output.
 */
import { readFileSync, writeSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { waitOnThisThread } from '../attachment/waiting.ts'
import { answer } from './call.ts'
import { thisProcess } from './caller.ts'
import { CniError, cniCodes } from './error.ts'
import { serveCalls } from './helper.ts'

const args = process.argv.slice(2)
void (args.length > 0 ? serveCalls(args) : answerOne()).then((status) => process.exit(status))

async function answerOne(): Promise<number> {
  waitOnThisThread()
  const { status, text } = await answer({ env: process.env, readInput, caller: thisProcess })
  print(text)
  return status
}

function readInput(): Buffer {
  try {
    return readFileSync(0)
  } catch (error) {
    throw new CniError(cniCodes.io, `the configuration cannot be read from standard input: ${String(error)}`)
  }
}

function print(text: string): void {
  const bytes = Buffer.from(text)
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(1, bytes, written)
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error // a runtime's pipe may be non-blocking, and full
    }
  }
}
