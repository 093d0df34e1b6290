/** The pipes between a process and its shim: plain ones, one direction each, owned by the process's user. */
import { closeFd, fchownat, pipe2, O_NONBLOCK } from '@holdfast/core'
import type { OutputSource } from './output.ts'
import { Input, peekVault, terminalInput, vaultFor } from './input.ts'

export interface StdioWanted {
  terminal: boolean
  stdin: boolean
  /** Ids as the host sees them: /dev/stdout is opened again by path, and that asks for the pipe's owner. */
  owner: { uid: number; gid: number }
}

export interface Stdio {
  /** The process's ends; close them once it is launched. */
  child: { stdin?: number; stdout?: number; stderr?: number }
  /** What the keeper holds a second copy of, by the names used on adoption. */
  keep: Record<string, number>
  terminal: boolean
}

export function makeStdio({ terminal, stdin, owner }: StdioWanted): Stdio {
  if (terminal) {
    // A terminal's output is moved through a pipe that outlives the shim, so that a kill loses nothing of it.
    const relay = pipe2(O_NONBLOCK)
    return { child: {}, keep: { 'relay-read': relay.read, 'relay-write': relay.write }, terminal }
  }
  const stdout = ownedPipe(owner)
  const stderr = ownedPipe(owner)
  const child = { stdout: stdout.write, stderr: stderr.write }
  const keep = { stdout: stdout.read, stderr: stderr.read }
  if (!stdin) return { child, keep, terminal }
  const input = ownedPipe(owner)
  return {
    child: { ...child, stdin: input.read },
    keep: { ...keep, stdin: input.write, 'stdin-vault': vaultFor(input.write) },
    terminal,
  }
}

export function closeAll(fds: Record<string, number | undefined>): void {
  for (const fd of Object.values(fds)) if (fd !== undefined) closeFd(fd)
}

/** What the keeper is given: of stdin only the vault, from which the descriptor can be taken back. */
export function keeperCopies({ keep }: Stdio): Record<string, number> {
  const { stdin: _ours, ...copies } = keep
  return copies
}

/** Both directions, from the shim's side; `taken` are the descriptors of `keep`, or what adoption got back. */
export function connectStdio(
  taken: Record<string, number>,
  console: number | undefined,
  stdin: boolean,
): { input: Input; sources: OutputSource[] } {
  if (console !== undefined) {
    const relay = { read: taken['relay-read']!, write: taken['relay-write']! }
    return {
      input: stdin ? terminalInput(console) : new Input(undefined),
      sources: [{ stream: 'stdout', fd: console, relay }],
    }
  }
  const sources = (['stdout', 'stderr'] as const).flatMap((stream) => {
    const fd = taken[stream]
    return fd === undefined ? [] : [{ stream, fd }]
  })
  const vault = taken['stdin-vault']
  const fd = taken['stdin'] ?? (vault === undefined ? undefined : peekVault(vault))
  return { input: new Input(fd, vault), sources }
}

function ownedPipe({ uid, gid }: { uid: number; gid: number }): { read: number; write: number } {
  const pipe = pipe2()
  fchownat(pipe.read, '', uid, gid) // both ends are one inode
  return pipe
}
