import type { Image } from '@holdfast/images'
import { describe, expect, it } from 'vitest'
import { renderHistory, renderImage, renderImageSummary } from './image.ts'
import type { ContainerState } from '../../engine/container-record.ts'
import { eventMatches } from '../routes/events.ts'
import { Filters } from '../filters.ts'
import { humanDuration } from '../human-duration.ts'
import { parsePs } from '../process-table.ts'
import { referenceMatches } from '../routes/images.ts'
import { statusText } from './container-summary.ts'
import { renderEvent } from './event.ts'

describe('statusText', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const state = (more: Partial<ContainerState>): ContainerState => ({
    status: 'running',
    pid: 1,
    exitCode: 0,
    error: '',
    oomKilled: false,
    startedAt: '2025-12-31T23:59:57Z',
    finishedAt: '',
    ...more,
  })
  it.each([
    [{}, 'Up 3 seconds'],
    [{ status: 'paused' }, 'Up 3 seconds (Paused)'],
    [{ status: 'created' }, 'Created'],
    [{ status: 'exited', exitCode: 137, finishedAt: '2025-12-31T23:58:00Z' }, 'Exited (137) 2 minutes ago'],
  ] as const)('%j', (more, text) => expect(statusText(state(more), now)).toBe(text))

  it.each([
    [500, 'Less than a second'],
    [1000, '1 second'],
    [59_000, '59 seconds'],
    [60_000, 'About a minute'],
    [3_600_000, 'About an hour'],
    [47 * 3_600_000, '47 hours'],
    [72 * 3_600_000, '3 days'],
    [20 * 86_400_000, '2 weeks'],
    [90 * 86_400_000, '3 months'],
    [800 * 86_400_000, '2 years'],
  ])('%d ms is "%s"', (millis, text) => expect(humanDuration(millis)).toBe(text))
})

describe('events', () => {
  const event = {
    Type: 'container' as const,
    Action: 'exec_start: ls',
    scope: 'local' as const,
    time: 1,
    timeNano: 1_700_000_000_123_456_789n,
    Actor: { ID: 'abc', Attributes: { name: 'c1', image: 'busybox:latest', l: 'v' } },
  }
  it('keep all digits of timeNano', () => {
    expect(renderEvent(event)).toContain('"timeNano":1700000000123456789}\n')
  })
  it.each([
    [{ event: ['exec_start'] }, true],
    [{ event: ['start'] }, false],
    [{ container: ['c1'] }, true],
    [{ container: ['ab'] }, true],
    [{ image: ['busybox'] }, true],
    [{ type: ['image'] }, false],
    [{ label: ['l=v'] }, true],
    [{ network: ['x'] }, false],
  ])('match %j: %s', (filter, expected) => {
    const filters = Filters.parse(JSON.stringify(filter), Object.keys(filter))
    expect(eventMatches(filters, event)).toBe(expected)
  })
})

describe('other rendering', () => {
  it('lets a reference pattern leave out the tag', () => {
    expect(referenceMatches('busybox', 'busybox:latest')).toBe(true)
    expect(referenceMatches('localhost:5000/*', 'localhost:5000/a:1')).toBe(true)
    expect(referenceMatches('busybox:1', 'busybox:latest')).toBe(false)
  })
  it('keeps the spaces of the last column of ps, and other processes out', () => {
    const output = '    PID TTY      CMD\n     12 ?        sh -c sleep 1\n     13 ?        other\n'
    expect(parsePs(output, new Set([12]))).toEqual({
      titles: ['PID', 'TTY', 'CMD'],
      processes: [['12', '?', 'sh -c sleep 1']],
    })
  })
})

describe('renderHistory', () => {
  it('gives each step the size of the layer that it made, newest first', () => {
    const image: Image = {
      id: 'sha256:1',
      repoTags: [],
      repoDigests: [],
      config: {
        architecture: 'amd64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: ['sha256:2', 'sha256:3'] },
        history: [
          { created_by: 'ADD rootfs' },
          { created_by: 'CMD sh', empty_layer: true },
          { created_by: 'RUN make' },
        ],
      },
      layers: [
        { chainId: 'sha256:2', size: 40 },
        { chainId: 'sha256:4', size: 2 },
      ],
      size: 42,
      lastTagged: '',
    }
    expect(renderHistory(image)).toMatchObject([
      { Id: 'sha256:1', CreatedBy: 'RUN make', Size: 2, Tags: null },
      { Id: '<missing>', CreatedBy: 'CMD sh', Size: 0 },
      { Id: '<missing>', CreatedBy: 'ADD rootfs', Size: 40 },
    ])
  })
})

describe('renderImage', () => {
  const image: Image = {
    id: 'sha256:1',
    repoTags: ['a:latest'],
    repoDigests: [],
    config: {
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['sh'], Env: [] },
      rootfs: { type: 'layers', diff_ids: ['sha256:2'] },
      history: [],
    },
    layers: [{ chainId: 'sha256:3', size: 7 }],
    size: 7,
    lastTagged: '',
  }
  it('has the shape of the version asked for', () => {
    expect(renderImage(image, 51)).toMatchObject({
      Config: { Cmd: ['sh'] },
      Size: 7,
      RootFS: { Type: 'layers' },
    })
    expect(Object.keys((renderImage(image, 51) as { Config: object }).Config)).toEqual(['Cmd'])
    expect(renderImage(image, 51)).not.toHaveProperty('VirtualSize')
    expect(renderImage(image, 43)).toMatchObject({
      Config: { Cmd: ['sh'], Hostname: '' },
      VirtualSize: 7,
      Container: '',
    })
  })
  it('lists an image without a name as old clients expect', () => {
    const nameless = { ...image, repoTags: [] }
    expect(renderImageSummary(nameless, 41)).toMatchObject({
      RepoTags: ['<none>:<none>'],
      RepoDigests: ['<none>@<none>'],
    })
    expect(renderImageSummary(nameless, 51)).toMatchObject({ RepoTags: [], RepoDigests: [] })
  })
})
