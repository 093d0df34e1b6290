/** The supervisor's flags, dockerd's names where dockerd has one; what isn't given derives from the instance. */
import { parseArgs } from 'node:util'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { parseInterfaceAddress, type Prefix } from '@holdfast/network'
import { maxExecRoot } from './engine/paths.ts'
import { defaultBase } from './records/id-ranges.ts'

export interface Flags {
  instance: string
  hosts: string[]
  group: string | undefined
  dataRoot: string
  execRoot: string
  pidfile: string
  bip: string | undefined
  /** The bridge's IPv6 subnet; without it containers have IPv4 alone. */
  fixedCidrV6: string | undefined
  addressPool: { base: string; size: number }
  logLevel: string
  plainShims: boolean
  usernsBase: number
  idRangesFile: string
  /** Take away what an instance leaves on the machine for its next start, and end. */
  purge: boolean
  help: boolean
  version: boolean
}

export const usage = `Usage: hold supervisor [flags]

  -H, --host unix://PATH|fd://N     where to listen; may be given more than once
      --group NAME                  group that may use the socket besides root
      --instance NAME               at most 8 letters and digits; every other default derives from it (holdfast)
      --data-root DIR               what lives as long as the containers (/var/lib/<instance>)
      --exec-root DIR               what lives as long as the machine is up (/run/<instance>)
      --pidfile FILE                (/run/<instance>/<instance>.pid)
      --bip CIDR                    the bridge's address, 10.213.0.1/24; else one is chosen
      --fixed-cidr-v6 CIDR          give the bridge and its containers IPv6 too, fd00:db8::/64
      --default-address-pool base=CIDR,size=N
                                    where subnets are taken from (base=10.213.0.0/16,size=24)
      --userns-base N               first user id for containers' user namespaces (${defaultBase})
      --log-level LEVEL             trace, debug, info, warn, error or fatal (info)
      --shim-process                start every shim as a process of its own instead of forking a prepared one
      --purge                       remove the instance's bridge, rules and cgroups, and end
  -h, --help                        show this
  -v, --version                     show the version
`

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** Throws HF_BAD_REQUEST that names the flag. */
export function parseFlags(args: string[]): Flags {
  const values = parse(args)
  const instance = values.instance ?? 'holdfast'
  if (!/^[a-z][a-z0-9]{0,7}$/.test(instance)) {
    throw bad(
      'instance',
      `invalid instance name "${instance}"`,
      'A lower-case letter, then at most 7 letters and digits.',
    )
  }
  const logLevel = values['log-level'] ?? 'info'
  if (!logLevels.includes(logLevel))
    throw bad('log-level', `invalid log level "${logLevel}"`, `It is one of ${logLevels.join(', ')}.`)
  const execRoot = absolute('exec-root', values['exec-root'] ?? `/run/${instance}`)
  if (Buffer.byteLength(execRoot) > maxExecRoot) {
    throw bad(
      'exec-root',
      `the exec root ${execRoot} is too long`,
      `Sockets lie in it: it may have ${maxExecRoot} bytes at most.`,
    )
  }
  return {
    instance,
    hosts: values.host ?? [`unix:///run/${instance}/${instance}.sock`],
    group: values.group,
    dataRoot: absolute('data-root', values['data-root'] ?? `/var/lib/${instance}`),
    execRoot,
    pidfile: absolute('pidfile', values.pidfile ?? `${execRoot}/${instance}.pid`),
    bip: values.bip === undefined ? undefined : checkBip(values.bip),
    fixedCidrV6: values['fixed-cidr-v6'] === undefined ? undefined : checkCidrV6(values['fixed-cidr-v6']),
    addressPool: parsePool(values['default-address-pool']),
    logLevel,
    plainShims: values['shim-process'] ?? false,
    usernsBase: parseBase(values['userns-base']),
    idRangesFile: '/var/lib/holdfast-ids/ranges.db',
    purge: values.purge ?? false,
    help: values.help ?? false,
    version: values.version ?? false,
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        host: { type: 'string', short: 'H', multiple: true },
        group: { type: 'string', short: 'G' },
        instance: { type: 'string' },
        'data-root': { type: 'string' },
        'exec-root': { type: 'string' },
        pidfile: { type: 'string', short: 'p' },
        bip: { type: 'string' },
        'fixed-cidr-v6': { type: 'string' },
        'default-address-pool': { type: 'string' },
        'userns-base': { type: 'string' },
        'log-level': { type: 'string', short: 'l' },
        'shim-process': { type: 'boolean' },
        purge: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    }).values
  } catch (cause) {
    throw new HoldfastError('HF_BAD_REQUEST', (cause as Error).message, {
      hint: 'See hold supervisor --help.',
      cause,
    })
  }
}

function absolute(flag: string, path: string): string {
  if (path.startsWith('/') && !path.includes('\0')) return path.replace(/(?<=.)\/+$/, '')
  throw bad(flag, `--${flag} must be an absolute path, not "${path}"`)
}

function checkBip(text: string): string {
  if (prefixOf(text, 4)) return text
  throw bad(
    'bip',
    `invalid --bip "${text}"`,
    "It is the bridge's own address with its prefix, 10.213.0.1/24.",
  )
}

function checkCidrV6(text: string): string {
  const { length = 0 } = prefixOf(text, 6) ?? {}
  if (length >= 48 && length <= 126) return text
  throw bad(
    'fixed-cidr-v6',
    `invalid --fixed-cidr-v6 "${text}"`,
    'It is an IPv6 subnet of /48 to /126, fd00:db8::/64.',
  )
}

/** `base=10.213.0.0/16,size=24`. */
function parsePool(text: string | undefined): Flags['addressPool'] {
  if (text === undefined) return { base: '10.213.0.0/16', size: 24 }
  const parts = new Map(text.split(',').map((part) => part.split('=', 2) as [string, string]))
  const base = prefixOf(parts.get('base') ?? '', 4)
  const size = Number(parts.get('size'))
  if (!base || parts.size !== 2 || !Number.isInteger(size) || size < base.length || size > 30) {
    throw bad(
      'default-address-pool',
      `invalid --default-address-pool "${text}"`,
      'For example base=10.213.0.0/16,size=24.',
    )
  }
  return { base: parts.get('base')!, size }
}

/** `10.213.0.1/24`, an address of this family with its length; undefined for anything else. */
function prefixOf(text: string, family: 4 | 6): Prefix | undefined {
  try {
    const prefix = parseInterfaceAddress(text, 'flag')
    return prefix.family === family ? prefix : undefined
  } catch (error) {
    if (!hasCode(error, 'HF_BAD_REQUEST')) throw error
    return undefined // each flag says in its own words what it wants
  }
}

function parseBase(text: string | undefined): number {
  if (text === undefined) return defaultBase
  const base = /^\d{1,10}$/.test(text) ? Number(text) : 0
  if (base >= 65_536 && base % 65_536 === 0 && base < 2 ** 31) return base
  throw bad(
    'userns-base',
    `invalid --userns-base "${text}"`,
    'It is a multiple of 65536, from 65536 to below 2147483648.',
  )
}

function bad(flag: string, message: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { hint, details: { field: flag } })
}
