/** One call of the plugin: from the environment and the configuration to what is printed and the exit status. */
import { verbs as bridgeVerbs } from './commands.ts'
import type { Caller } from './caller.ts'
import { readEnvironment } from './environment.ts'
import { CniError, cniCodes, errorJson } from './error.ts'
import { loopbackVerbs } from './loopback.ts'
import { checkVersion, newestVersion, supportedVersions, type Version } from './version.ts'

export interface Call {
  env: NodeJS.ProcessEnv
  readInput: () => Buffer
  caller: Caller
  /** A descriptor of the caller's network namespace; absent: it is this process's. */
  hostNetns?: number
}

export interface Answer {
  status: number
  /** For standard output. */
  text: string
}

/** Never rejects: a failure is an answer too. */
export async function answer({ env, readInput, caller, hostNetns }: Call): Promise<Answer> {
  let version: Version = newestVersion
  try {
    const environment = readEnvironment(env)
    if (environment.command === 'VERSION') return { status: 0, text: line(versions(readInput)) }
    const text = readInput()
    const config = parse(text)
    version = checkVersion(config.cniVersion)
    refuseWithoutRoot()
    const verbs = config.type === 'loopback' ? loopbackVerbs : bridgeVerbs
    const result = await verbs[environment.command]({ environment, version, text, config, caller, hostNetns })
    return { status: 0, text: result ? line(result) : '' }
  } catch (error) {
    return { status: 1, text: line(errorJson(error, version)) }
  }
}

/** The configuration's version, where there is one; a runtime may send nothing at all. */
function versions(readInput: () => Buffer): object {
  let cniVersion: string = newestVersion
  try {
    const wanted = (JSON.parse(readInput().toString()) as { cniVersion?: unknown }).cniVersion
    if (typeof wanted === 'string' && wanted !== '') cniVersion = wanted
  } catch {
    // It asks for our versions, whatever its own configuration is like.
  }
  return { cniVersion, supportedVersions }
}

function parse(text: Buffer): { cniVersion?: unknown; type?: unknown } {
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

function line(value: object): string {
  return `${JSON.stringify(value)}\n`
}
