/**
 * `holdfast-bridge`, the CNI plugin: one command per process, from the environment and standard input to standard
 * output. It needs neither the engine nor any daemon.
 */
import { readFileSync, writeSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { blockOnLocks } from '../attachment/state-dir.ts'
import { verbs } from './commands.ts'
import { readEnvironment } from './environment.ts'
import { CniError, cniCodes, errorJson } from './error.ts'
import { checkVersion, newestVersion, supportedVersions, type Version } from './version.ts'

blockOnLocks()
void main().then((code) => process.exit(code))

async function main(): Promise<number> {
  let version: Version = newestVersion
  try {
    const environment = readEnvironment(process.env)
    if (environment.command === 'VERSION') return printVersions()
    const text = readInput()
    const config = parse(text)
    version = checkVersion(config.cniVersion)
    refuseWithoutRoot()
    const result = await verbs[environment.command]({ environment, version, text, config })
    if (result) print(result)
    return 0
  } catch (error) {
    print(errorJson(error, version))
    return 1
  }
}

/** The configuration's version, where there is one; a runtime may send nothing at all. */
function printVersions(): number {
  let cniVersion: string = newestVersion
  try {
    const wanted = (JSON.parse(readInput().toString()) as { cniVersion?: unknown }).cniVersion
    if (typeof wanted === 'string' && wanted !== '') cniVersion = wanted
  } catch {
    // It asks for our versions, whatever its own configuration is like.
  }
  print({ cniVersion, supportedVersions })
  return 0
}

function readInput(): Buffer {
  try {
    return readFileSync(0)
  } catch (error) {
    throw new CniError(cniCodes.io, `the configuration cannot be read from standard input: ${String(error)}`)
  }
}

function parse(text: Buffer): { cniVersion?: unknown } {
  let value: unknown
  try {
    value = JSON.parse(text.toString())
  } catch (error) {
    throw new CniError(cniCodes.decoding, `the configuration is no JSON: ${(error as Error).message}`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new CniError(cniCodes.decoding, 'the configuration is no JSON object')
}

function refuseWithoutRoot(): void {
  if (process.geteuid?.() === 0) return
  throw new CniError(cniCodes.noRoot, 'a CNI plugin needs root: links and rules of the host are changed')
}

function print(value: object): void {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`)
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(1, bytes, written)
    } catch (error) {
      if (!hasCode(error, 'EAGAIN')) throw error // a runtime's pipe may be non-blocking, and full
    }
  }
}
