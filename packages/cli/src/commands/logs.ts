import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'

import type { Command } from '../command.ts'
import { Demultiplexer } from '../run/demultiplexer.ts'
import { instant } from '../run/instant.ts'

export const logs: Command = {
  name: 'logs',
  usage: '[OPTIONS] CONTAINER',
  summary: "Print a container's output",
  completes: 'container',
  arguments: [1, 1],
  flags: [
    { name: 'follow', short: 'f', kind: 'boolean', help: 'Go on as new output comes' },
    { name: 'timestamps', short: 't', kind: 'boolean', help: 'Show when each line was written' },
    { name: 'tail', short: 'n', kind: 'string', value: 'LINES', default: 'all', help: 'Only the last lines' },
    { name: 'since', kind: 'string', value: 'TIME', help: 'Only what is newer (2026-01-02T15:04:05Z, 42m)' },
    { name: 'until', kind: 'string', value: 'TIME', help: 'Only what is older' },
    { name: 'details', kind: 'boolean', help: 'Show the attributes of each line' },
  ],
  async run({ client }, parsed) {
    const name = encodeURIComponent(parsed.arguments[0] as string)
    const { Config } = await client.json<{ Config: { Tty: boolean } }>('GET', `/containers/${name}/json`)
    const [since, until] = [parsed.text('since'), parsed.text('until')]
    const response = await client.open('GET', `/containers/${name}/logs`, {
      query: {
        stdout: 1,
        stderr: 1,
        tail: parsed.text('tail'),
        follow: Number(parsed.flag('follow')),
        timestamps: Number(parsed.flag('timestamps')),
        details: Number(parsed.flag('details')),
        since: since === undefined ? undefined : instant(since),
        until: until === undefined ? undefined : instant(until),
      },
    })
    const frames = new Demultiplexer(process.stdout, process.stderr)
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        const room = Config.Tty ? process.stdout.write(chunk) : frames.write(chunk)
        if (room) done()
        else process.stdout.once('drain', () => done())
      },
    })
    await pipeline(response, sink)
    return 0
  },
}
