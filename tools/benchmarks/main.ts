// Starts both engines, measures each row of both in turn, and prints the table.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { busyboxImage } from './busybox-image.ts'
import { dockerdIn, Engine, engineFlags } from './engine.ts'
import { image, lostExits, rows, type Row } from './rows.ts'

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, markdown: { type: 'boolean' }, 'keep-logs': { type: 'boolean' } },
})
const wanted = options.only?.split(',')
const chosen = rows.filter((row) => wanted === undefined || wanted.includes(row.key))

const scratch = mkdtempSync('/var/tmp/hfb-')
const supervisor = fileURLToPath(new URL('../../packages/supervisor/dist/main.js', import.meta.url))
const instance = `b${process.pid % 1_000_000}`
const holdfast = new Engine('holdfast', join(scratch, 'h'), (...where) => [
  process.execPath,
  supervisor,
  '--instance',
  instance,
  ...engineFlags(...where),
])
const dockerd = dockerdIn(join(scratch, 'd'))

let failed = false
try {
  await dockerd.start()
  await holdfast.start()
  const tar = busyboxImage(scratch)
  for (const engine of [dockerd, holdfast]) {
    const { status, body } = await engine.call(
      'POST',
      '/images/create?fromSrc=-&repo=bench&tag=latest',
      tar,
      'application/x-tar',
    )
    if (status !== 200) throw new Error(`${engine.name} can't import ${image}: ${body.toString()}`)
  }
  const results = []
  for (const row of chosen) results.push({ row, ...(await measure(row)) })
  print(results)
} finally {
  await holdfast.stop()
  await dockerd.stop()
  // Its network went with the network namespace that it was started in; what is left is its cgroup.
  execFileSync('unshare', [
    '-n',
    process.execPath,
    supervisor,
    '--instance',
    instance,
    '--purge',
    '--data-root',
    join(holdfast.root, 'data'),
    '--exec-root',
    join(holdfast.root, 'run'),
  ])
  if (options['keep-logs']) console.error(`logs are in ${scratch}`)
  else rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

/** One warm-up each where there are several rounds, then both in turn; the median of each. */
async function measure(row: Row): Promise<{ dockerd: number; holdfast: number }> {
  process.stderr.write(`measuring: ${row.title}\n`)
  const figures = { dockerd: [] as number[], holdfast: [] as number[] }
  if (row.rounds > 3) for (const engine of [dockerd, holdfast]) await row.measure(engine)
  for (let round = 0; round < row.rounds; round++) {
    for (const engine of [dockerd, holdfast]) {
      await machineAtRest()
      figures[engine === dockerd ? 'dockerd' : 'holdfast'].push(await row.measure(engine))
    }
  }
  return { dockerd: median(figures.dockerd), holdfast: median(figures.holdfast) }
}

/**
 * Either engine goes on tidying for a while once it has answered, and what comes next would be measured beside that.
 * Waits until the machine was idle for a moment, and at most for a second: somebody else may be using it.
 */
async function machineAtRest(): Promise<void> {
  const deadline = performance.now() + 1_000
  for (let before = cpuTimes(); performance.now() < deadline;) {
    await delay(50)
    const now = cpuTimes()
    if (now.idle - before.idle >= 0.9 * (now.all - before.all)) return
    before = now
  }
}

/** Of all processors since boot, in milliseconds. */
function cpuTimes(): { idle: number; all: number } {
  const all = cpus().flatMap(({ times }) => Object.values(times))
  return { idle: cpus().reduce((sum, { times }) => sum + times.idle, 0), all: all.reduce((a, b) => a + b, 0) }
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] as number
}

function print(results: { row: Row; dockerd: number; holdfast: number }[]): void {
  const lines = results.map(({ row, dockerd, holdfast }) => {
    const ratio = holdfast / dockerd
    const met = ratio <= row.budget
    failed ||= !met
    const shown = (value: number): string => `${value.toPrecision(3)} ${row.unit}`
    return [
      row.title,
      shown(dockerd),
      shown(holdfast),
      fraction(ratio),
      fraction(row.budget),
      met ? 'yes' : 'NO',
    ]
  })
  const all = [['work', 'dockerd', 'holdfast', 'ratio', 'budget', 'met'], ...lines]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)))
  const padded = all.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)))
  if (options.markdown)
    padded.splice(
      1,
      0,
      widths.map((width) => '-'.repeat(width)),
    )
  for (const line of padded) console.log(options.markdown ? `| ${line.join(' | ')} |` : line.join('  '))
  const lost = (engine: string): number => lostExits.get(engine) ?? 0
  if (chosen.some((row) => row.key === 'many')) {
    console.log(
      `\nexits lost in 150 runs, 16 at a time: dockerd ${lost('dockerd')}, holdfast ${lost('holdfast')}`,
    )
    failed ||= lost('holdfast') > 0
  }
  console.log(
    `\n${cpus().length} × ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, ` +
      `Node ${process.version}, ${execFileSync('dockerd', ['--version'], { encoding: 'utf8' }).trim()}`,
  )
}

/** `1/23` for small ones, `0.75` for others. */
function fraction(value: number): string {
  return value < 0.5 ? `1/${(1 / value).toFixed(1).replace(/\.0$/, '')}` : value.toFixed(2)
}
