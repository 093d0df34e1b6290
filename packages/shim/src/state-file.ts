/** `<dir>/state.json`: what a later shim needs to go on with this one's container. */
import { existsSync, readFileSync } from 'node:fs'
import { replaceFile } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ExitRecord, Status } from '@holdfast/protocol'
import type { ContainerRecord } from './launch/launched.ts'

const version = 4

export interface ShimStateFile {
  status: Status
  /** After a reboot no pid in here means anything. */
  bootId: string
  startedAt: string | null
  adoption?: ContainerRecord
  exit?: ExitRecord
}

/** A reader finds a whole state or none, also after a power cut. */
export function writeState(dir: string, state: ShimStateFile): void {
  writeWhole(dir, 'state.json', { version, ...state })
}

export function writeWhole(dir: string, name: string, value: object): void {
  replaceFile(`${dir}/${name}`, JSON.stringify(value), { sync: 'content' })
}

/** Undefined where no shim has written one. Throws HF_INVALID_CONFIG where it is damaged or of another version. */
export function readState(dir: string): ShimStateFile | undefined {
  const path = `${dir}/state.json`
  if (!existsSync(path)) return undefined // nobody takes it away meanwhile, and an error costs pages in every shim
  const text = readFileSync(path, 'utf8')
  try {
    const { version: found, ...state } = JSON.parse(text) as ShimStateFile & { version: number }
    if (found === version) return state
  } catch (cause) {
    throw new HoldfastError('HF_INVALID_CONFIG', `${path} is damaged`, { cause })
  }
  throw new HoldfastError('HF_INVALID_CONFIG', `${path} was written by another version of Holdfast`)
}

/** What a keeper wrote of its process; undefined where there is none (it was killed, or the disk was full). */
export function readExitRecord(path: string): Omit<ExitRecord, 'oomKilled'> | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  return JSON.parse(text) as Omit<ExitRecord, 'oomKilled'>
}
