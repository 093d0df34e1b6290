/**
 * `--change` of import and commit: Dockerfile instructions that touch only the configuration.
 * https://docs.docker.com/reference/cli/docker/image/import/#change
 */
import { HoldfastError } from '@holdfast/errors'
import type { ImageRunConfig } from '../image-store.ts'
import { expand, nameValuePairs, wordsOf } from './words.ts'

/** Applies one instruction to `config`. */
type Instruction = (config: ImageRunConfig, rest: string) => void

const defaultShell = ['/bin/sh', '-c']

const instructions = new Map<string, Instruction>([
  ['CMD', (config, rest) => void (config.Cmd = command(config, rest))],
  ['ENTRYPOINT', (config, rest) => void (config.Entrypoint = command(config, rest))],
  ['ENV', env],
  ['EXPOSE', expose],
  ['HEALTHCHECK', healthcheck],
  ['LABEL', label],
  ['ONBUILD', onBuild],
  ['STOPSIGNAL', stopSignal],
  ['USER', user],
  ['VOLUME', volume],
  ['WORKDIR', workDir],
])

/** Returns a new configuration. Throws HF_BAD_REQUEST, naming the change. */
export function applyChanges(base: ImageRunConfig, changes: string[]): ImageRunConfig {
  const config: ImageRunConfig = structuredClone(base)
  for (const change of changes) {
    for (const line of logicalLines(change)) {
      const [, name = '', rest = ''] = /^(\S+)\s*([^]*)$/.exec(line) ?? []
      const apply = instructions.get(name.toUpperCase())
      if (!apply) throw invalid(line, `${name.toLowerCase()} is not a valid change command`)
      if (rest === '') throw invalid(line, `${name.toUpperCase()} requires at least one argument`)
      apply(config, rest.trimEnd())
    }
  }
  return config
}

/** Lines without comments, continued ones put together. */
function logicalLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replace(/\\[ \t]*\n/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function command(config: ImageRunConfig, rest: string): string[] {
  return jsonWords(rest) ?? [...(config.Shell ?? defaultShell), rest]
}

/** The exec form, `["a", "b"]`; undefined where it is not one. */
function jsonWords(rest: string): string[] | undefined {
  if (!rest.startsWith('[')) return undefined
  try {
    const value = JSON.parse(rest) as unknown
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value as string[]
  } catch {
    // What is no JSON is the shell form, in Docker too.
  }
  return undefined
}

function env(config: ImageRunConfig, rest: string): void {
  for (const [name, value] of pairs(rest, config)) {
    if (name === '') throw invalid(`ENV ${rest}`, 'ENV names can not be blank')
    const others = (config.Env ?? []).filter((entry) => !entry.startsWith(`${name}=`))
    const at = (config.Env ?? []).findIndex((entry) => entry.startsWith(`${name}=`))
    others.splice(at < 0 ? others.length : at, 0, `${name}=${value}`)
    config.Env = others
  }
}

function label(config: ImageRunConfig, rest: string): void {
  for (const [name, value] of pairs(rest, config)) {
    if (name === '') throw invalid(`LABEL ${rest}`, 'LABEL names can not be blank')
    config.Labels = Object.fromEntries([...Object.entries(config.Labels ?? {}), [name, value]])
  }
}

function pairs(rest: string, config: ImageRunConfig): [string, string][] {
  return nameValuePairs(rest).map(([name, value]) => [
    expand(name, config.Env ?? []),
    expand(value, config.Env ?? []),
  ])
}

function expose(config: ImageRunConfig, rest: string): void {
  for (const word of wordsOf(rest).flatMap((item) =>
    expand(item, config.Env ?? [])
      .split(/\s+/)
      .filter(Boolean),
  )) {
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/([A-Za-z]+))?$/.exec(word)
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    const protocol = (match?.[3] ?? 'tcp').toLowerCase()
    if (!match || first > last || last > 65535 || !['tcp', 'udp', 'sctp'].includes(protocol))
      throw invalid(`EXPOSE ${rest}`, `invalid containerPort: ${word}`)
    config.ExposedPorts ??= {}
    for (let port = first; port <= last; port++) config.ExposedPorts[`${port}/${protocol}`] = {}
  }
}

function volume(config: ImageRunConfig, rest: string): void {
  for (const item of jsonWords(rest) ?? wordsOf(rest)) {
    const path = expand(item, config.Env ?? []).trim()
    if (path === '') throw invalid(`VOLUME ${rest}`, 'VOLUME specified can not be an empty string')
    config.Volumes = Object.fromEntries([...Object.keys(config.Volumes ?? {}), path].map((key) => [key, {}]))
  }
}

function user(config: ImageRunConfig, rest: string): void {
  config.User = one('USER', rest, config)
}

function workDir(config: ImageRunConfig, rest: string): void {
  const path = one('WORKDIR', rest, config)
  const parts: string[] = []
  for (const part of (path.startsWith('/') ? path : `${config.WorkingDir ?? '/'}/${path}`).split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  config.WorkingDir = `/${parts.join('/')}`
}

function stopSignal(config: ImageRunConfig, rest: string): void {
  const signal = one('STOPSIGNAL', rest, config)
  // Names are for the engine to know; what could be none is refused here.
  if (!/^([0-9]{1,2}|(SIG)?[A-Z][A-Z0-9]*([+-][0-9]{1,2})?)$/i.test(signal))
    throw invalid(`STOPSIGNAL ${rest}`, `invalid signal: ${signal}`)
  config.StopSignal = signal
}

function onBuild(config: ImageRunConfig, rest: string): void {
  const name = rest.split(/\s/)[0]!.toUpperCase()
  if (name === 'ONBUILD')
    throw invalid(`ONBUILD ${rest}`, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
  if (name === 'FROM' || name === 'MAINTAINER')
    throw invalid(`ONBUILD ${rest}`, `${name} isn't allowed as an ONBUILD trigger`)
  config.OnBuild = [...(config.OnBuild ?? []), rest]
}

/** USER, WORKDIR and STOPSIGNAL have exactly one argument. */
function one(name: string, rest: string, config: ImageRunConfig): string {
  const words = wordsOf(rest)
  if (words.length !== 1 && name !== 'WORKDIR')
    throw invalid(`${name} ${rest}`, `${name} requires exactly one argument`)
  return expand(name === 'WORKDIR' ? rest : words[0]!, config.Env ?? [])
}

const durationFlags = new Map([
  ['interval', 'Interval'],
  ['timeout', 'Timeout'],
  ['start-period', 'StartPeriod'],
  ['start-interval', 'StartInterval'],
])
const units = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['µs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 60e9],
  ['h', 3600e9],
])

function healthcheck(config: ImageRunConfig, rest: string): void {
  const check: Record<string, unknown> = {}
  let left = rest
  for (let flag; (flag = /^--([a-z-]+)=(\S*)\s*/.exec(left)); left = left.slice(flag[0].length)) {
    const [, name = '', value = ''] = flag
    const field = durationFlags.get(name)
    if (field) check[field] = duration(value, rest)
    else if (name === 'retries' && /^[0-9]{1,9}$/.test(value)) check.Retries = Number(value)
    else throw invalid(`HEALTHCHECK ${rest}`, `unknown flag: ${name}`)
  }
  const [, kind = '', what = ''] = /^(\S+)\s*([^]*)$/.exec(left) ?? []
  if (kind.toUpperCase() === 'NONE' && what === '') check.Test = ['NONE']
  else if (kind.toUpperCase() === 'CMD' && what !== '') {
    const words = jsonWords(what)
    check.Test = words ? ['CMD', ...words] : ['CMD-SHELL', what]
  } else throw invalid(`HEALTHCHECK ${rest}`, `unknown type ${JSON.stringify(kind)} in HEALTHCHECK (try CMD)`)
  config.Healthcheck = check
}

/** Go's durations, `1m30s`, in nanoseconds; Docker wants 1 ms at least, or 0. */
function duration(text: string, rest: string): number {
  if (!/^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$/.test(text) && text !== '0')
    throw invalid(`HEALTHCHECK ${rest}`, `invalid duration ${JSON.stringify(text)}`)
  let total = 0
  for (const [, number, unit] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g))
    total += Number(number) * units.get(unit!)!
  if (total !== 0 && total < 1e6) throw invalid(`HEALTHCHECK ${rest}`, 'a duration cannot be less than 1ms')
  return Math.round(total)
}

function invalid(change: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field: 'changes', change } })
}
