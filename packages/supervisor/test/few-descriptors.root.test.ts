/** A limit of open files that is reached: who comes then is told so, what runs goes on, and nothing is lost afterwards. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  busyboxTar,
  eventually,
  processesIn,
  processTitle,
  temporaryDirectory,
  TestSupervisor,
} from '@holdfast/testkit'

describe.skipIf(process.getuid?.() !== 0)(
  'an engine that is short of descriptors',
  { timeout: 60_000 },
  () => {
    let supervisor: TestSupervisor
    let running: string

    beforeAll(async () => {
      supervisor = await TestSupervisor.start()
      using scratch = temporaryDirectory()
      const tar = busyboxTar(scratch.path)
      expect((await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox', tar)).status).toBe(
        200,
      )
      running = await create('while sleep 0.1; do echo alive; done')
      expect((await supervisor.request('POST', `/containers/${running}/start`)).status).toBe(204)
    })
    afterAll(async () => {
      await supervisor?.[Symbol.asyncDispose]()
    })

    async function create(script: string): Promise<string> {
      const body = {
        Image: 'busybox',
        Cmd: ['/bin/sh', '-c', script],
        Env: ['PATH=/bin'],
        HostConfig: { NetworkMode: 'none' },
      }
      return (await supervisor.request('POST', '/containers/create', body)).json.Id
    }

    /** The soft limit of a process: as many as are open, or `all` that it may have. */
    function limit(pid: number, all: boolean): void {
      const open = Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number)) + 1
      const hard = /^Max open files +\d+ +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))![1]!
      execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${all ? hard : open}:`])
    }

    /** Clients that say nothing and take every descriptor that the process may still have. */
    async function occupy(pid: number, path: string): Promise<Disposable> {
      limit(pid, false)
      const sockets: Socket[] = []
      const refused = new Promise<boolean>((resolve) => {
        const next = (): void => {
          const socket = connect(path).on('error', () => {})
          socket
            .on('close', () => resolve(true))
            .on('connect', () => sockets.length < 500 && setTimeout(next, 2))
          sockets.push(socket)
        }
        next()
      })
      await refused
      return {
        [Symbol.dispose]: () => {
          limit(pid, true)
          for (const socket of sockets) socket.destroy()
        },
      }
    }

    /** By a connection that is there before they are gone. */
    function ask(agent: Agent, method: string, path: string, body?: unknown): Promise<number> {
      return new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json' }
        const message = request(
          { socketPath: supervisor.socket, agent, method, path, headers },
          (response) => {
            response
              .resume()
              .on('end', () => resolve(response.statusCode!))
              .on('error', reject)
          },
        )
        message.on('error', reject)
        message.end(body === undefined ? undefined : JSON.stringify(body))
      })
    }

    /** Clock ticks that a process has run for. */
    function ticks(pid: number): number {
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
      return Number(fields[11]) + Number(fields[12])
    }

    /** Half of a second's work in one second would be a loop of accepts in vain. */
    async function expectRest(pid: number): Promise<void> {
      const before = ticks(pid)
      await delay(1000)
      expect(ticks(pid) - before).toBeLessThan(50)
    }

    const lines = async (): Promise<number> => {
      const { text } = await supervisor.request('GET', `/containers/${running}/logs?stdout=1`)
      return text.split('alive').length
    }

    it('answers 503 to what needs more, rests, and does everything once there are some again', async () => {
      using agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }))
      const id = await create('true')
      const before = await lines()
      expect(await ask(agent, 'GET', '/_ping')).toBe(200)
      {
        using _ = await occupy(supervisor.pid, supervisor.socket)
        expect(await ask(agent, 'POST', `/containers/${id}/start`)).toBe(503)
        expect(await ask(agent, 'GET', `/containers/${running}/logs?stdout=1`)).toBe(503)
        expect(await ask(agent, 'GET', '/containers/json')).toBe(200)
        await expectRest(supervisor.pid)
      }
      await eventually(
        async () => (await supervisor.request('GET', '/_ping').catch(() => undefined))?.status === 200,
      )
      expect((await supervisor.request('POST', `/containers/${id}/start`)).status).toBe(204)
      expect((await supervisor.request('POST', `/containers/${id}/wait`)).json).toMatchObject({
        StatusCode: 0,
      })
      await eventually(async () => (await lines()) > before)
    })

    it('says 503 of an exec where the shim is short of them, whose container and log go on', async () => {
      const shim = Number(
        processesIn(`${supervisor.root}/run/c/${running}`).find((pid) => processTitle(pid).includes('shim')),
      )
      const exec = async (): Promise<number> => {
        const { json } = await supervisor.request('POST', `/containers/${running}/exec`, {
          Cmd: ['/bin/true'],
        })
        return (await supervisor.request('POST', `/exec/${json.Id}/start`, { Detach: true })).status
      }
      const before = await lines()
      {
        using _ = await occupy(shim, `${supervisor.root}/run/c/${running}/shim.sock`)
        expect(await exec()).toBe(503)
        await expectRest(shim)
        await eventually(async () => (await lines()) > before)
      }
      await eventually(async () => (await exec()) === 200)
    })
  },
)

function disposable(agent: Agent): Agent & Disposable {
  return Object.assign(agent, { [Symbol.dispose]: () => agent.destroy() })
}
