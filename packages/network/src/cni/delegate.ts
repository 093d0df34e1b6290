/** Another plugin, run for addresses: found in CNI_PATH, with the same configuration and environment. */
import { accessSync, constants, statSync } from 'node:fs'
import { join } from 'node:path'
import { CniError, cniCodes } from './error.ts'
import type { Caller } from './caller.ts'
import type { Command, Environment } from './environment.ts'

export interface Delegation {
  type: string
  /** The configuration as the runtime wrote it. */
  config: Buffer
  environment: Environment
  caller: Caller
}

/** What it printed, decoded; undefined where it printed nothing. Its standard error is the caller's. CniError with its own code. */
export async function delegate(
  command: Command,
  { type, config, environment, caller }: Delegation,
): Promise<unknown> {
  const program = findPlugin(type, environment.path)
  const { status, signal, stdout, error } = await caller.runPlugin(program, command, config)
  if (error !== undefined)
    throw new CniError(cniCodes.delegate, `the IPAM plugin ${type} does not run: ${error}`)
  const text = stdout.toString().trim()
  const answer = text === '' ? undefined : parse(type, text)
  if (status === 0) return answer
  throw failure(type, answer, status === null ? `signal ${signal}` : `exit status ${status}`)
}

export function findPlugin(type: string, path: string[]): string {
  for (const directory of path) {
    const program = join(directory, type)
    if (isExecutable(program)) return program
  }
  throw new CniError(
    cniCodes.invalidConfig,
    `no IPAM plugin ${type} in CNI_PATH`,
    path.length === 0 ? 'CNI_PATH is not set.' : `Looked in ${path.join(', ')}.`,
  )
}

function isExecutable(program: string): boolean {
  try {
    accessSync(program, constants.X_OK)
    return statSync(program).isFile()
  } catch {
    return false
  }
}

function parse(type: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CniError(cniCodes.decoding, `the IPAM plugin ${type} printed no JSON`, text.slice(0, 200))
  }
}

function failure(type: string, answer: unknown, how: string): CniError {
  const { code, msg, details } = (answer ?? {}) as { code?: unknown; msg?: unknown; details?: unknown }
  if (typeof code === 'number' && typeof msg === 'string') {
    return new CniError(
      code,
      `the IPAM plugin ${type} failed: ${msg}`,
      typeof details === 'string' ? details : '',
    )
  }
  return new CniError(cniCodes.delegate, `the IPAM plugin ${type} failed: ${how}`)
}
