/**
 * The record of one attachment, and the lock of whoever works on it. It is there before the first lease and the
 * first link, and goes last: what a killed process left behind always has one.
 */
import { closeSync, constants, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { flock, fstat } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import type { PublishedPort } from '../bridge.ts'
import type { Result } from './network-config.ts'
import { waitForLock, type StateDir } from './state-dir.ts'

/** What taking an attachment down needs, whatever has become of its network namespace and its configuration. */
export interface AttachmentRecord {
  containerId: string
  interface: string
  /** The path of the network namespace, as it was given. */
  netns: string
  kind: string
  /** The bridge, or the chains' name in the rules. */
  rules: string
  /** The bridge whose VLAN the container is in, where another plugin put it there. */
  trunk?: string
  addresses: string[]
  ports: PublishedPort[]
  /** The host's link that leads to the container where no bridge does. */
  exit?: string
  /** Names of the host's links: its end of the pair, and the one that slows down what the container sends. */
  hostLink?: string
  shaper?: string
  /** Frames from other senders are dropped. */
  mac?: string
  /** A device of the host's: its name there. */
  device?: string
  aliases: string[]
  /** Absent until all of it was done. */
  result?: Result
}

export class AttachmentFile implements Disposable {
  readonly #path: string
  #fd: number | undefined
  /** It was there before: by a caller that came twice, or one that was killed. */
  readonly existed: boolean

  private constructor(path: string, fd: number, existed: boolean) {
    this.#path = path
    this.#fd = fd
    this.existed = existed
  }

  /** Waits for another process that works on the attachment. `create`: false gives undefined where there is none. */
  static async open(
    dir: StateDir,
    owner: { containerId: string; interface: string },
    create: boolean,
  ): Promise<AttachmentFile | undefined> {
    const path = join(dir.attachments, `${owner.containerId}:${owner.interface}`)
    for (;;) {
      const opened = openFile(path, create)
      if (!opened) return undefined
      await waitForLock(opened.fd, 'exclusive', path)
      // Who held the lock may have removed the file.
      if (fstat(opened.fd).nlink > 0) return new AttachmentFile(path, opened.fd, opened.existed)
      closeSync(opened.fd)
    }
  }

  /** As `open`; undefined also where another process works on it right now. */
  static tryOpen(dir: StateDir, name: string): AttachmentFile | undefined {
    const path = join(dir.attachments, name)
    const opened = openFile(path, false)
    if (!opened) return undefined
    if (flock(opened.fd, 'exclusive') && fstat(opened.fd).nlink > 0)
      return new AttachmentFile(path, opened.fd, true)
    closeSync(opened.fd)
    return undefined
  }

  /** Undefined where its writer was killed before it knew anything. */
  read(): AttachmentRecord | undefined {
    return parse(readFileSync(this.#path, 'utf8'))
  }

  write(record: AttachmentRecord): void {
    const text = Buffer.from(`${JSON.stringify(record)}\n`)
    // One system call, which a killed process has made or not; what was longer before stays behind the line's end.
    writeSync(this.#fd!, text, 0, text.length, 0)
  }

  remove(): void {
    rmSync(this.#path, { force: true })
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

/** `ID:INTERFACE` of every attachment. */
export function attachmentNames(dir: StateDir): string[] {
  try {
    return readdirSync(dir.attachments)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
    return []
  }
}

export function splitName(name: string): { containerId: string; interface: string } {
  const colon = name.indexOf(':')
  return { containerId: name.slice(0, colon), interface: name.slice(colon + 1) }
}

/** Without its lock: for looking. */
export function readRecord(dir: StateDir, name: string): AttachmentRecord | undefined {
  try {
    return parse(readFileSync(join(dir.attachments, name), 'utf8'))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    return undefined
  }
}

function openFile(path: string, create: boolean): { fd: number; existed: boolean } | undefined {
  const { O_RDWR, O_CREAT, O_EXCL } = constants
  for (;;) {
    try {
      if (create) return { fd: openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600), existed: false }
      return { fd: openSync(path, O_RDWR), existed: true }
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
        if (!create) return undefined
      } else if (!hasCode(error, 'EEXIST')) throw error
    }
    try {
      return { fd: openSync(path, O_RDWR), existed: true }
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
}

/** Undefined for what is no record, however it came there: then the kernel and the leases tell. */
function parse(text: string): AttachmentRecord | undefined {
  try {
    const value: unknown = JSON.parse(text.slice(0, text.indexOf('\n')))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is AttachmentRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Partial<Record<keyof AttachmentRecord, unknown>>
  const texts = [record.containerId, record.interface, record.netns, record.kind, record.rules]
  const names = [record.trunk, record.exit, record.hostLink, record.shaper, record.mac, record.device]
  return (
    texts.every(isText) &&
    names.every((name) => name === undefined || isText(name)) &&
    [record.addresses, record.aliases].every((list) => Array.isArray(list) && list.every(isText)) &&
    Array.isArray(record.ports) &&
    record.ports.every(isPort) &&
    (record.result === undefined || isResult(record.result))
  )
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isPort(value: unknown): boolean {
  const { protocol, hostIp, hostPort, containerPort } = (value ?? {}) as Partial<PublishedPort>
  return (
    isText(protocol) && isText(hostIp) && [hostPort, containerPort].every((port) => Number.isInteger(port))
  )
}

function isResult(value: unknown): boolean {
  const { interfaces, ips, routes, dns } = (value ?? {}) as Partial<Result>
  return [interfaces, ips, routes].every((list) => Array.isArray(list)) && typeof dns === 'object'
}
