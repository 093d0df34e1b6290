// Names: how many questions a resolver at 127.0.0.11 answers, and what CPU time of its process each costs. Needs root.
//
//     node tools/benchmarks/dns.ts [--seconds 3] [--markdown]
//
// This process is the resolver; a second one asks, from inside the network namespace; a third is the upstream server.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createNamespace, openDatagrams } from '../../packages/core/dist/index.js'
import { openResolver } from '../../packages/network/dist/index.js'

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    markdown: { type: 'boolean', default: false },
    role: { type: 'string', default: 'resolver' },
    name: { type: 'string', default: 'web' },
    window: { type: 'string', default: '1' },
  },
})
const seconds = Number(options.seconds)

if (options.role === 'client') await ask()
else if (options.role === 'upstream') serve()
else await measure()

async function measure(): Promise<void> {
  const netns = createNamespace('net')
  const inside = `--net=/proc/${process.pid}/fd/${netns}`
  execFileSync('nsenter', [inside, 'ip', 'link', 'set', 'lo', 'up'])
  const upstream = start([], ['--role', 'upstream'])
  const [port] = (await once(createInterface(upstream.stdout!), 'line')) as [string]
  const hosts = Array.from({ length: 1000 }, (_, index) => ({
    id: index.toString(16).padStart(64, '0'),
    names: [index === 500 ? 'web' : `host${index}`],
    domain: 'shop',
    addresses: [`10.213.${index >> 8}.${index & 255}`],
  }))
  const resolver = openResolver({
    netns,
    table: { ttl: 60, hosts, local: ['shop'] },
    upstreams: [{ address: '127.0.0.1', port: Number(port) }],
  })
  const rows = [
    ['a name of a table of 1,000 hosts, one question at a time', 'web', 1],
    ['the same, 32 at a time', 'web', 32],
    ['a name that a local domain has not, 32 at a time', 'nobody.shop', 32],
    ['a name asked of an upstream server, one at a time', 'example.com', 1],
    ['the same, 32 at a time', 'example.com', 32],
  ] as const
  const lines = [['questions', 'a second', 'µs of CPU each', 'lost']]
  for (const [what, name, window] of rows) {
    const client = start(
      ['nsenter', inside],
      ['--role', 'client', '--name', name, '--window', String(window)],
    )
    const output = createInterface(client.stdout!)
    await once(output, 'line') // it has warmed up
    const before = process.cpuUsage()
    const [line] = (await once(output, 'line')) as [string]
    const { user, system } = process.cpuUsage(before)
    const { answered, lost } = JSON.parse(line) as { answered: number; lost: number }
    lines.push([
      what,
      Math.round(answered / seconds).toLocaleString('en'),
      ((user + system) / answered).toFixed(1),
      String(lost),
    ])
    await once(client, 'exit')
  }
  resolver.close()
  upstream.kill()
  print(lines)
}

function start(prefix: string[], args: string[]): ChildProcess {
  const command = [...prefix, process.execPath]
  const script = [fileURLToPath(import.meta.url), '--seconds', String(seconds), ...args]
  return spawn(command[0]!, [...command.slice(1), ...script], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Asks with `window` questions on their way, for a second and then for `seconds`; prints a line after each. */
async function ask(): Promise<void> {
  const labels = options.name.split('.').map((label) => String.fromCharCode(label.length) + label)
  const question = Buffer.concat([
    Buffer.from('000001000001000000000000', 'hex'),
    Buffer.from(`${labels.join('')}\0\0\x01\0\x01`, 'latin1'),
  ])
  let [answered, lost, id] = [0, 0, 0]
  const waiting = new Map<number, NodeJS.Timeout>()
  const socket = openDatagrams(
    { connect: { address: '127.0.0.11', port: 53 } },
    { onMessage: (message) => settle((message[0]! << 8) | message[1]!, true), onError: () => {} },
  )
  const settle = (which: number, isAnswer: boolean): void => {
    const timer = waiting.get(which)
    if (!timer) return
    clearTimeout(timer)
    waiting.delete(which)
    if (isAnswer) answered++
    else lost++
    send()
  }
  const send = (): void => {
    const which = (id = (id + 1) & 0xffff)
    question.writeUInt16BE(which)
    waiting.set(
      which,
      setTimeout(() => settle(which, false), 2000),
    )
    socket.send(question)
  }
  for (let count = 0; count < Number(options.window); count++) send()
  await new Promise((resolve) => setTimeout(resolve, 1000))
  answered = lost = 0
  console.log('warm')
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  console.log(JSON.stringify({ answered, lost }))
  process.exit(0)
}

/** Answers every question with one address. */
function serve(): void {
  const port = 20_000 + (process.pid % 20_000)
  const server = openDatagrams(
    { bind: { address: '127.0.0.1', port } },
    {
      onMessage: (message, peer) => {
        const answer = Buffer.concat([message, Buffer.from('c00c000100010000003c0004c0000207', 'hex')])
        answer.writeUInt16BE(0x8180, 2)
        answer.writeUInt16BE(1, 6)
        server.send(answer, peer)
      },
      onError: () => {},
    },
  )
  console.log(port)
}

function print(lines: string[][]): void {
  if (options.markdown) {
    const row = (cells: string[]) => `| ${cells.join(' | ')} |`
    console.log([row(lines[0]!), row(lines[0]!.map(() => '---')), ...lines.slice(1).map(row)].join('\n'))
    return
  }
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)))
  for (const cells of lines)
    console.log(
      cells
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]! + 2)))
        .join(''),
    )
}
