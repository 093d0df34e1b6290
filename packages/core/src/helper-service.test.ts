import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { closeFd } from './descriptor.ts'
import { PacketConnection } from './packet-connection.ts'
import { socketpair } from './socket.ts'
import { connectUnix, listenUnix } from './unix-socket.ts'

const worker = fileURLToPath(new URL('../test/helper-worker.ts', import.meta.url))
let directory: string
let socket: string
let gate: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-helper-'))
  socket = join(directory, 'socket')
  gate = join(directory, 'gate')
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

function start(fd: number, args: string[], idleMs: number): ChildProcess {
  const command = ['--conditions=@holdfast/source', worker, String(idleMs), gate, ...args]
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'inherit', 'inherit', fd] })
  closeFd(fd)
  return child
}

async function ask(connection: PacketConnection, text: string): Promise<string | undefined> {
  expect(await connection.receive()).toMatchObject({ kind: 'h' })
  connection.send('q', text)
  return (await connection.receive())?.body.toString()
}

describe('a helper', { timeout: 30_000 }, () => {
  it('takes up who waits already, answers others meanwhile, and ends when it has been idle', async () => {
    const listener = listenUnix(socket)
    const early = new PacketConnection(connectUnix(socket))
    const ended = once(start(listener, ['--serve', socket], 300), 'close')
    expect(await ask(early, 'first')).toBe('first')
    const [a, b] = [new PacketConnection(connectUnix(socket)), new PacketConnection(connectUnix(socket))]
    expect(await ask(b, 'second')).toBe('second')
    expect(await ask(a, 'third')).toBe('third')
    expect(await ended).toEqual([0, null])
    expect(existsSync(socket)).toBe(false)
    for (const connection of [early, a, b]) connection.close()
  })

  it('ends when its socket is removed, with what it has begun done', async () => {
    const listener = listenUnix(socket)
    for (const name of [gate, `${gate}.unwatched`]) writeFileSync(name, '')
    const ended = once(start(listener, ['--serve', socket], 60_000), 'close')
    const connection = new PacketConnection(connectUnix(socket))
    const answer = ask(connection, 'wait')
    await expect.poll(() => existsSync(`${gate}.unwatched`), { timeout: 10_000 }).toBe(false)
    rmSync(socket)
    rmSync(gate)
    expect(await answer).toBe('wait')
    expect(await ended).toEqual([0, null])
    connection.close()
  })

  it('of one call serves its one connection', async () => {
    const [own, theirs] = socketpair('seqpacket')
    const ended = once(start(theirs, ['--once'], 60_000), 'close')
    const connection = new PacketConnection(own)
    expect(await ask(connection, 'once')).toBe('once')
    expect(await ended).toEqual([0, null])
    connection.close()
  })
})
