import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { eventually, temporaryDirectory } from '@holdfast/testkit'

export interface Answer {
  status: number
  type: string | undefined
  text: string
  json: any
}

/** One request to an engine's unix socket. */
export async function ask(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const headers = { 'content-type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json' }
    const message = request(
      { socketPath, method, path, headers, agent: false, timeout: 15_000 },
      (response) => {
        text(response).then((answer) => {
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'],
            text: answer,
            json: tryJson(answer),
          })
        }, reject)
      },
    )
    message.on('error', reject)
    message.on('timeout', () => message.destroy(new Error(`${method} ${path}: no answer`)))
    if (body === undefined) message.end()
    else message.end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
  })
}

function tryJson(answer: string): unknown {
  try {
    return JSON.parse(answer)
  } catch {
    return undefined
  }
}

/** Whether this machine has a dockerd to compare with. */
export function hasDockerd(): boolean {
  try {
    execFileSync('dockerd', ['--version'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

/** Docker's engine in a network and mount namespace of its own, so that it can't touch the host's bridge and rules. */
export class PrivateDockerd implements AsyncDisposable {
  readonly #directory = temporaryDirectory()
  readonly #child: ChildProcess
  readonly socket: string

  private constructor() {
    const root = this.#directory.path
    this.socket = join(root, 'd.sock')
    const flags = [
      `--data-root=${root}/data`,
      `--exec-root=${root}/exec`,
      `--pidfile=${root}/pid`,
      `--host=unix://${this.socket}`,
      '--storage-driver=vfs', // overlay of overlay is refused where the test itself runs in a container
    ]
    this.#child = spawn(
      'unshare',
      ['-n', '-m', 'sh', '-c', 'ip link set lo up && exec dockerd "$@"', 'sh', ...flags],
      {
        stdio: 'ignore',
        env: { PATH: process.env['PATH'] ?? '' },
      },
    )
  }

  static async start(): Promise<PrivateDockerd> {
    const dockerd = new PrivateDockerd()
    try {
      await eventually(async () => (await ask(dockerd.socket, 'GET', '/_ping')).status === 200, 50_000)
    } catch (error) {
      await dockerd[Symbol.asyncDispose]()
      throw error
    }
    return dockerd
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await exited
    }
    this.#directory[Symbol.dispose]()
  }
}
