import { describe, expect, it } from 'vitest'

import type { CommandContext } from '../command.ts'
import { parseCommandLine } from '../command-line.ts'
import type { EngineClient } from '../engine-client.ts'
import { ps } from './list.ts'

const container = {
  Id: 'a'.repeat(64),
  Names: ['/web'],
  Image: 'busybox',
  ImageID: '',
  Command: 'sleep 1',
  Created: 0,
  Ports: [],
  Labels: {},
  State: 'running',
  Status: 'Up 2 seconds',
  Mounts: [],
  NetworkSettings: { Networks: {} },
}

async function printed(...argv: string[]): Promise<string> {
  const lines: string[] = []
  const client = { json: async () => [container] } as unknown as EngineClient
  const context: CommandContext = {
    client,
    terminal: false,
    print: (text) => lines.push(text),
    warn: () => {},
  }
  await ps.run(context, parseCommandLine(argv, ps.flags))
  return lines.join('\n')
}

describe('ps', () => {
  it('heads a table template with the names of its columns', async () => {
    expect(await printed('--format', 'table {{.ID}}\\t{{.Names}}\\t{{.CreatedAt}}')).toBe(
      'CONTAINER ID   NAMES   CREATED AT\naaaaaaaaaaaa   web     1970-01-01T00:00:00.000Z',
    )
  })

  it('quotes the command, and counts volumes', async () => {
    container.Command = `echo 'a b' c"d`
    expect(await printed('--format', '{{.Command}} {{.LocalVolumes}}')).toBe(`"echo 'a b' c\\"d" 0`)
  })

  it('prints a template without table as it is', async () => {
    expect(await printed('--format', '{{.Names}}: {{.Status}}')).toBe('web: Up 2 seconds')
  })
})
