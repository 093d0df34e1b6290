// Compares Holdfast's default seccomp profile with Docker's (moby/profiles, seccomp/default.json), call by call.
//
//   node --conditions=@holdfast/source tools/compare-seccomp.ts PROFILE.json [--caps NAME,…|none|all] [--arch x86_64|aarch64]
//
// Without --caps: Docker's default set, none, all, and the default with each other capability added. Prints what differs
// and ends with status 1 when ours allows anything that Docker's refuses.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { SeccompProfile, SeccompRule } from '../packages/plan/src/step.ts'
import { allCapabilities } from '../packages/plan/src/config/capability-names.ts'
import { defaultCapabilities } from '../packages/supervisor/src/spec/capabilities.ts'
import { defaultSeccomp } from '../packages/supervisor/src/spec/seccomp/default-profile.ts'
import { resolveProfile } from '../packages/supervisor/src/spec/seccomp/docker-profile.ts'

type Architecture = 'x86_64' | 'aarch64'

/** What a profile does with one call, for given arguments. */
type Verdict = (args: bigint[]) => string

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { caps: { type: 'string' }, arch: { type: 'string' } },
})
const [path] = positionals
if (path === undefined) {
  process.stderr.write(
    'usage: compare-seccomp.ts PROFILE.json [--caps NAME,…|none|all] [--arch x86_64|aarch64]\n',
  )
  process.exit(2)
}
const theirs = JSON.parse(readFileSync(path, 'utf8')) as unknown
const architectures: Architecture[] = values.arch ? [values.arch as Architecture] : ['x86_64', 'aarch64']
let wider = 0
for (const architecture of architectures) {
  for (const [name, capabilities] of capabilitySets(values.caps))
    wider += compare(name, capabilities, architecture)
}
process.stdout.write(
  wider === 0
    ? 'ours allows nothing that theirs refuses\n'
    : `ours allows ${wider} calls that theirs refuses\n`,
)
process.exitCode = wider === 0 ? 0 : 1

function capabilitySets(asked: string | undefined): [name: string, capabilities: string[]][] {
  if (asked === 'none') return [['none', []]]
  if (asked === 'all') return [['all', [...allCapabilities]]]
  if (asked !== undefined) return [[asked, asked.split(',')]]
  const others = allCapabilities.filter((name) => !defaultCapabilities.includes(name))
  return [
    ['default', [...defaultCapabilities]],
    ['none', []],
    ['all', [...allCapabilities]],
    ...others.map((name): [string, string[]] => [`default and ${name}`, [...defaultCapabilities, name]]),
  ]
}

/** Prints the differences; the number of calls that ours allows and theirs refuses. */
function compare(title: string, capabilities: string[], architecture: Architecture): number {
  const held = new Set(capabilities)
  const our = defaultSeccomp(held, architecture)
  const their = resolveProfile(theirs, held, architecture, [6, 1]) as unknown as SeccompProfile
  const names = [...new Set([...namesOf(our), ...namesOf(their)])].toSorted()
  const foreign = their.architectures?.filter((each) => !our.architectures?.includes(each)) ?? []
  const looser: string[] = []
  const tighter: string[] = []
  for (const name of names) {
    const [ours, dockers] = [verdictOf(our, name), verdictOf(their, name)]
    const samples = samplesOf([...rulesOf(our, name), ...rulesOf(their, name)])
    const allow = (verdict: Verdict, args: bigint[]): boolean => verdict(args) === 'SCMP_ACT_ALLOW'
    const gained = samples.find((args) => allow(ours, args) && !allow(dockers, args))
    if (gained) looser.push(`${name}(${show(gained)})`)
    else if (samples.some((args) => !allow(ours, args) && allow(dockers, args))) tighter.push(name)
  }
  process.stdout.write(`${architecture}, capabilities: ${title}\n`)
  if (looser.length > 0) process.stdout.write(`  WIDER: ${looser.join(' ')}\n`)
  if (values.caps !== undefined || title === 'default') {
    process.stdout.write(`  tighter: ${tighter.join(' ') || 'nothing'}\n`)
    if (foreign.length > 0) process.stdout.write(`  tighter: no ${foreign.join(', ')}\n`)
  }
  return (
    looser.length + (our.architectures ?? []).filter((each) => !their.architectures?.includes(each)).length
  )
}

function namesOf({ syscalls }: SeccompProfile): string[] {
  return (syscalls ?? []).flatMap(({ names }) => names)
}

function rulesOf({ syscalls }: SeccompProfile, name: string): SeccompRule[] {
  return (syscalls ?? []).filter(({ names }) => names.includes(name))
}

/** As libseccomp builds it: a rule without conditions is for all arguments, then the first whose conditions all hold. */
function verdictOf(profile: SeccompProfile, name: string): Verdict {
  const rules = rulesOf(profile, name)
  const always = rules.find((rule) => !rule.args?.length)
  return (args) =>
    (
      always ??
      rules.find((rule) => rule.args?.every((each) => holds(each, args))) ?? { action: profile.defaultAction }
    ).action
}

function holds(condition: NonNullable<SeccompRule['args']>[number], args: bigint[]): boolean {
  const actual = args[condition.index] ?? 0n
  const value = BigInt(condition.value)
  switch (condition.op) {
    case 'SCMP_CMP_NE':
      return actual !== value
    case 'SCMP_CMP_LT':
      return actual < value
    case 'SCMP_CMP_LE':
      return actual <= value
    case 'SCMP_CMP_EQ':
      return actual === value
    case 'SCMP_CMP_GE':
      return actual >= value
    case 'SCMP_CMP_GT':
      return actual > value
    case 'SCMP_CMP_MASKED_EQ':
      return (actual & value) === BigInt(condition.valueTwo ?? 0)
    default:
      throw new Error(`unknown comparison ${condition.op}`)
  }
}

/** Arguments on either side of every number that a condition names, every single bit, and the corners. */
function samplesOf(rules: SeccompRule[]): bigint[][] {
  const conditions = rules.flatMap((rule) => rule.args ?? [])
  if (conditions.length === 0) return [[]]
  const max = 2n ** 64n - 1n
  const numbers = new Set([
    0n,
    0xffff_ffffn,
    max,
    ...Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit)),
  ])
  for (const { value, valueTwo } of conditions) {
    for (const number of [BigInt(value), BigInt(valueTwo ?? 0)]) {
      for (const near of [number - 1n, number, number + 1n, number ^ 0xffff_ffffn, number | (1n << 32n)]) {
        if (near >= 0n && near <= max) numbers.add(near)
      }
    }
  }
  const indexes = [...new Set(conditions.map(({ index }) => index))]
  return indexes.flatMap((index) =>
    [...numbers].map((number) => Object.assign(Array<bigint>(6).fill(0n), { [index]: number })),
  )
}

function show(args: bigint[]): string {
  return args.map((each) => `0x${each.toString(16)}`).join(', ')
}
