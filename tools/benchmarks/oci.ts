// Measures holdfast-oci beside runc and crun: the same bundle, one after the other in every round.
//
//     tools/bench oci [--rounds N] [--markdown] [--unified]
//
// --unified: in a mount namespace where cgroup v2 alone is mounted, the only view in which crun runs on a hybrid host.
//
// Each number is the median of wall-clock times from spawn to exit, in milliseconds, with what Node's own spawn costs in
// it for all alike; the start-up row shows how much a call costs that does nothing.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    markdown: { type: 'boolean' },
    unified: { type: 'boolean' },
  },
})
if (options.unified && process.env['HOLDFAST_BENCH_VIEW'] !== 'unified') process.exit(inUnifiedView())
const rounds = Number(options.rounds)
const scratch = mkdtempSync('/var/tmp/hfboci-')
const bundle = join(scratch, 'bundle')
const own = fileURLToPath(new URL('../holdfast-oci', import.meta.url))
const programs = [own, ...['runc', 'crun'].flatMap(findProgram)]

interface Runtime {
  name: string
  program: string
  root: string
  /** Of its own command line. */
  globals: string[]
}
const known: Runtime[] = programs.map((program) => {
  const name = program.split('/').at(-1)!
  return { name, program, root: join(scratch, name), globals: [] }
})

interface Row {
  title: string
  /** What is timed. */
  measure(runtime: Runtime): void
  /** A row about one of them. */
  only?: string
}

const rows: Row[] = [
  { title: 'start-up (`--version`)', measure: (runtime) => call(runtime, '--version') },
  { title: 'run true', measure: (runtime) => call(runtime, 'run', '--bundle', bundle, id(runtime)) },
  {
    title: 'run true, first call of a runtime root',
    measure: (runtime) => call(withNewRoot(runtime), 'run', '--bundle', bundle, id(runtime)),
    only: 'holdfast-oci',
  },
  {
    title: 'run true, with a planner of its own',
    measure: (runtime) => alone(() => call(runtime, 'run', '--bundle', bundle, id(runtime))),
    only: 'holdfast-oci',
  },
  { title: 'state', measure: (runtime) => call(runtime, 'state', sleeperOf(runtime)) },
  { title: 'kill', measure: (runtime) => call(runtime, 'kill', sleeperOf(runtime), 'CONT') },
  { title: 'exec true', measure: (runtime) => call(runtime, 'exec', sleeperOf(runtime), 'true') },
  {
    title: 'create + start + delete',
    measure: (runtime) => {
      call(runtime, 'create', '--bundle', bundle, id(runtime))
      call(runtime, 'start', id(runtime))
      call(runtime, 'delete', '--force', id(runtime))
    },
  },
]

makeBundle()
const runtimes = known.filter(canRun)
try {
  for (const runtime of runtimes) {
    const sleeper = join(scratch, sleeperOf(runtime))
    mkdirSync(sleeper)
    const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as {
      process: { args: string[] }
    }
    config.process.args = ['sleep', '100000']
    writeFileSync(join(sleeper, 'config.json'), JSON.stringify(config))
    call(runtime, 'run', '--detach', '--bundle', sleeper, sleeperOf(runtime))
  }
  print(
    rows.map((row) => {
      const samples = samplesOf(row)
      return [row.title, ...runtimes.map(({ name }) => median(samples.get(name)))]
    }),
  )
} finally {
  for (const { program, root, name } of known)
    spawnSync(program, ['--root', root, 'delete', '--force', sleeperOf({ name })], { stdio: 'ignore' })
  rmSync(scratch, { recursive: true, force: true })
}

/** All runtimes in every round, so that what disturbs one disturbs the others alike. */
function samplesOf(row: Row): Map<string, number[]> {
  const samples = new Map<string, number[]>()
  const taking = runtimes.filter(({ name }) => row.only === undefined || row.only === name)
  // The rare rows take a Node process each time.
  const count = row.only === undefined ? rounds : Math.min(rounds, 5)
  for (let round = -1; round < count; round++) {
    for (const runtime of taking) {
      const start = performance.now()
      row.measure(runtime)
      const took = performance.now() - start
      if (round >= 0) samples.set(runtime.name, [...(samples.get(runtime.name) ?? []), took])
    }
  }
  return samples
}

/** Whose planner, if it has one, is still to be started; it ends with the directory. */
function withNewRoot(runtime: Runtime): Runtime {
  return { ...runtime, root: mkdtempSync(join(scratch, 'root-')) }
}

/** Without a planner that stays. */
function alone(work: () => void): void {
  process.env['HOLDFAST_OCI_PLANNER'] = 'once'
  try {
    work()
  } finally {
    delete process.env['HOLDFAST_OCI_PLANNER']
  }
}

/** crun needs to raise a limit for its device filter, which not every machine lets root do: without cgroups then. */
function canRun(runtime: Runtime): boolean {
  for (const globals of runtime.name === 'crun' ? [[], ['--cgroup-manager=disabled']] : [[]]) {
    runtime.globals = globals
    try {
      call(runtime, 'run', '--bundle', bundle, id(runtime))
      if (globals.length > 0) console.error(`${runtime.name} runs with ${globals.join(' ')} alone`)
      return true
    } catch {
      // The next way, or none; what crun made before it failed it leaves.
      spawnSync('rmdir', [join('/sys/fs/cgroup', id(runtime))], { stdio: 'ignore' })
    }
  }
  console.error(`${runtime.name} runs nothing here, and is left out`)
  return false
}

function inUnifiedView(): number {
  const script = 'umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
  const { status } = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', script, 'sh', process.execPath, ...process.argv.slice(1)],
    {
      stdio: 'inherit',
      env: { ...process.env, HOLDFAST_BENCH_VIEW: 'unified' },
    },
  )
  return status ?? 1
}

function call({ program, root, globals }: Runtime, ...args: string[]): void {
  const { status, error } = spawnSync(program, [...globals, '--root', root, ...args], { stdio: 'ignore' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status} ${error?.message ?? ''}`)
}

function sleeperOf({ name }: Pick<Runtime, 'name'>): string {
  return `sleeper-${name}-${process.pid}`
}

function id({ name }: Runtime): string {
  return `bench-${name}-${process.pid}`
}

function makeBundle(): void {
  const rootfs = join(bundle, 'rootfs')
  for (const name of ['bin', 'proc', 'sys', 'dev']) mkdirSync(join(rootfs, name), { recursive: true })
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const name of ['true', 'sleep']) symlinkSync('busybox', join(rootfs, 'bin', name))
  execFileSync(own, ['--root', join(scratch, 'spec'), 'spec', '--bundle', bundle])
  const path = join(bundle, 'config.json')
  const config = JSON.parse(readFileSync(path, 'utf8')) as {
    ociVersion: string
    process: { terminal: boolean; args: string[] }
    root: { path: string }
  }
  config.ociVersion = '1.0.2' // what runc 1.1 reads
  config.process.terminal = false
  config.process.args = ['true']
  config.root.path = rootfs
  writeFileSync(path, JSON.stringify(config))
}

function median(samples: number[] | undefined): string {
  if (!samples) return ''
  const sorted = samples.toSorted((a, b) => a - b)
  return (sorted[Math.floor(sorted.length / 2)] ?? NaN).toFixed(1)
}

function print(lines: string[][]): void {
  const head = ['ms, median', ...runtimes.map(({ name }) => name)]
  console.log(`${cpus().length} CPUs (${cpus()[0]?.model}), Linux ${release()}, ${rounds} rounds\n`)
  if (options.markdown) {
    for (const line of [head, head.map(() => '---'), ...lines]) console.log(`| ${line.join(' | ')} |`)
    return
  }
  for (const [title = '', ...cells] of [head, ...lines])
    console.log(title.padEnd(38) + cells.map((cell) => cell.padStart(14)).join(''))
}

function findProgram(name: string): string[] {
  const { stdout, status } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
  if (status === 0) return [stdout.trim()]
  console.error(`${name} is not installed, and left out`)
  return []
}
