/**
 * A network's files, for any number of processes at once, any of which may be killed at any moment:
 *
 * ```
 * STATE/BOOT/NETWORK/lock               flock: shared while something is set up, exclusive to take the network down
 *                    install.lock       flock: who makes the bridge and the rules
 *                    leases/10.1.2.3    a symbolic link to ID/INTERFACE: made whole or not at all, by one process
 *                    attachments/ID:IF  a record; its flock is held by who works on the attachment
 *                    subnet             the network's own choice, where its configuration has none
 *            .rules.lock                flock: who writes the rules, which all networks share
 * ```
 *
 * After a reboot nothing is attached, so the directories of other boots are removed. Nothing is synced to disk: a
 * killed process loses nothing.
 */
import { closeSync, constants, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bootId, flock } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { NetworkConfig } from './network-config.ts'
import { waitsOnThisThread } from './waiting.ts'

const lockMilliseconds = 60_000

export class StateDir {
  readonly path: string
  readonly leases: string
  readonly attachments: string

  readonly #stateDir: string

  constructor({ stateDir, name }: Pick<NetworkConfig, 'stateDir' | 'name'>) {
    this.#stateDir = stateDir
    this.path = join(stateDir, bootId(), name)
    this.leases = join(this.path, 'leases')
    this.attachments = join(this.path, 'attachments')
  }

  /** Shared by all who set up or take down an attachment: while one does, nobody takes the network itself away. */
  async enter(): Promise<Lock> {
    return await this.#lock('lock', 'shared')
  }

  /**
   * As `enter`, to take down: undefined where the directory is missing and cannot be made. Then nobody is at work in it,
   * and what cannot be written need not be in the way of what is to go.
   */
  async enterToLeave(): Promise<Lock | undefined> {
    return await unlessReadOnly(() => this.enter())
  }

  /** One at a time makes what all attachments of a network share. */
  async installing(): Promise<Lock> {
    return await this.#lock('install.lock', 'exclusive')
  }

  /** One at a time writes the rules, which all networks share. Innermost: whoever has it waits for no other. */
  async rules(): Promise<Lock | undefined> {
    return await unlessReadOnly(() => this.#lock('../.rules.lock', 'exclusive'))
  }

  /** Undefined where somebody is at work in this network. The caller's own `enter` lock must be given back before. */
  tryAlone(): Lock | undefined {
    const fd = this.#open('lock')
    if (flock(fd, 'exclusive')) return new Lock(fd)
    closeSync(fd)
    return undefined
  }

  /** Waits for all who are at work, and keeps others out. Undefined as with `enterToLeave`. */
  async alone(): Promise<Lock | undefined> {
    return await unlessReadOnly(() => this.#lock('lock', 'exclusive'))
  }

  /** This network and the others of the same directory. */
  beside(): { name: string; dir: StateDir }[] {
    const names = readdirSync(join(this.path, '..')).filter((name) => !name.startsWith('.'))
    return names.map((name) => ({ name, dir: new StateDir({ stateDir: this.#stateDir, name }) }))
  }

  async #lock(file: string, operation: 'shared' | 'exclusive'): Promise<Lock> {
    const fd = this.#open(file)
    try {
      await waitForLock(fd, operation, `network ${this.path}`)
      return new Lock(fd)
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  #open(file: string): number {
    const path = join(this.path, file)
    try {
      return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      this.#make()
      return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    }
  }

  #make(): void {
    makeDirectories(this.leases)
    makeDirectories(this.attachments)
    const boots = join(this.path, '../..')
    for (const name of readdirSync(boots)) {
      if (/^[0-9a-f-]{36}$/.test(name) && name !== bootId())
        rmSync(join(boots, name), { recursive: true, force: true })
    }
  }
}

/** Node's own says ENOENT where a file system is read-only. */
function makeDirectories(path: string): void {
  try {
    makeDirectory(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    makeDirectories(dirname(path))
    makeDirectory(path)
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, 0o700)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
}

async function unlessReadOnly(lock: () => Promise<Lock>): Promise<Lock | undefined> {
  try {
    return await lock()
  } catch (error) {
    if (!hasCode(error, 'EROFS', 'EACCES', 'ENOTDIR', 'ENOSPC', 'EDQUOT')) throw error
    return undefined
  }
}

export class Lock implements Disposable {
  #fd: number | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  release(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/** Another process that is killed lets go at once. HF_TIMEOUT after a minute, unless it waits on this thread. */
export async function waitForLock(
  fd: number,
  operation: 'shared' | 'exclusive',
  what: string,
): Promise<void> {
  if (waitsOnThisThread()) {
    flock(fd, operation, { wait: true })
    return
  }
  const deadline = performance.now() + lockMilliseconds
  for (let pause = 1; !flock(fd, operation); pause = Math.min(pause * 2, 20)) {
    if (performance.now() > deadline) {
      throw new HoldfastError(
        'HF_TIMEOUT',
        `another process holds the lock of ${what} for more than a minute`,
        {
          hint: 'Look for a holdfast-bridge process that does not end.',
        },
      )
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}
