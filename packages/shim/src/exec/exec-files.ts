/**
 * Two files for each exec in its shim's directory: `exec-ID.json`, by which a later shim finds it while it runs, and the
 * record of its end, `exec-ID.exit.json`, by its keeper. One that starts or ends leaves the files of the others alone.
 */
import { existsSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ExitRecord } from '@holdfast/protocol'
import type { AdoptionRecord } from '../launch/launched.ts'
import { readExitRecord, writeWhole } from '../state-file.ts'

export interface ExecEntry {
  id: string
  /** Whether it reads what clients send. */
  stdin: boolean
  /** While it runs. */
  adoption?: AdoptionRecord
  /** It was launched up to its door before it was asked for. Whether it went through, its keeper knows. */
  prepared?: boolean
  exit?: ExitRecord
}

export function execRecordName(id: string): string {
  return `exec-${id}.exit.json`
}

export function writeExec(dir: string, { id, stdin, adoption, prepared }: ExecEntry): void {
  writeWhole(dir, `exec-${id}.json`, { id, stdin, adoption, prepared })
}

/** Where its keeper could not write down how it ended. */
export function writeExecEnd(dir: string, id: string, exit: ExitRecord): void {
  if (!existsSync(`${dir}/${execRecordName(id)}`)) writeWhole(dir, execRecordName(id), exit)
}

/** Those that run, or have ended, in the order of their ends. Throws HF_INVALID_CONFIG for a file that is damaged. */
export function readExecs(dir: string): ExecEntry[] {
  const entries = readdirSync(dir).flatMap((name) => (execFile.test(name) ? [readExec(dir, name)] : []))
  const time = ({ exit }: ExecEntry): string => exit?.finishedAt ?? ''
  return entries.sort((a, b) => (time(a) < time(b) ? -1 : 1))
}

const execFile = /^exec-[^.]+\.json$/

function readExec(dir: string, name: string): ExecEntry {
  let entry: ExecEntry
  try {
    entry = JSON.parse(readFileSync(`${dir}/${name}`, 'utf8')) as ExecEntry
  } catch (cause) {
    throw new HoldfastError('HF_INVALID_CONFIG', `${dir}/${name} is damaged`, { cause })
  }
  const exit = readExitRecord(`${dir}/${execRecordName(entry.id)}`)
  return exit === undefined ? entry : { ...entry, exit: { oomKilled: false, ...exit } }
}

export function removeExec(dir: string, id: string): void {
  for (const name of [`exec-${id}.json`, execRecordName(id)]) {
    try {
      unlinkSync(`${dir}/${name}`)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
}
