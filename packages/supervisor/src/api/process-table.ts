import { hasCode, HoldfastError } from '@holdfast/errors'
import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'

export interface ProcessTable {
  titles: string[]
  processes: string[][]
}

const limits = { timeout: 10_000, maxBuffer: 16 * 1024 * 1024 }

/**
 * What the host's `ps` says of these processes. `args` are ps's own flags, as the client gave them, split at spaces.
 * Without ps on the host the default table is read from /proc. Throws HF_BAD_REQUEST for flags that ps refuses and
 * for those that hide the PID column.
 */
export async function processTable(pids: number[], args: string): Promise<ProcessTable> {
  // `pid=` would rename or drop the title by which the column is found.
  if (/(^|\s)\S*=\s*PID/i.test(args) || /(^|[\s,])pid=/i.test(args)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `specifying "PID" under another title is not allowed: ps ${args}`,
    )
  }
  const words = args.split(' ').filter((word) => word !== '')
  const output = await runPs(words, pids)
  if (output === undefined) {
    if (args === '-ef') return await readProcTable(pids)
    throw new HoldfastError('HF_UNSUPPORTED', `this host has no ps, which "${args}" needs`, {
      hint: 'Install procps, or leave the arguments out.',
    })
  }
  return parsePs(output, new Set(pids))
}

/**
 * undefined where the host has no ps. `-q` selects the processes, whoever's they are and whatever terminal they have; it
 * can't be combined with every flag, and busybox doesn't know it: then ps is asked for what the flags alone select.
 */
async function runPs(args: string[], pids: number[]): Promise<string | undefined> {
  const selected = await execute([...args, `-q${pids.join(',')}`])
  if (selected.ok || selected.missing) return selected.output
  const all = await execute(args)
  if (all.ok || all.missing) return all.output
  throw new HoldfastError('HF_BAD_REQUEST', `ps ${args.join(' ')}: ${all.reason}`)
}

type PsResult =
  | { ok: true; missing: false; output: string }
  | { ok: false; missing: true; output: undefined }
  | { ok: false; missing: false; reason: string }

function execute(args: string[]): Promise<PsResult> {
  return new Promise((resolve) => {
    execFile('ps', args, { ...limits, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (!error) resolve({ ok: true, missing: false, output: stdout })
      else if (error.code === 'ENOENT') resolve({ ok: false, missing: true, output: undefined })
      else resolve({ ok: false, missing: false, reason: stderr.trim().split('\n')[0] || error.message })
    })
  })
}

/** The last column has what is left of the line: a command may have spaces in it. */
export function parsePs(output: string, pids: Set<number>): ProcessTable {
  const [head = '', ...lines] = output.split('\n')
  const titles = head.trim().split(/\s+/)
  const pidColumn = titles.indexOf('PID')
  if (pidColumn < 0) throw new HoldfastError('HF_BAD_REQUEST', "Couldn't find PID field in ps output")
  const processes = lines.flatMap((line) => {
    const words = line.trim().split(/\s+/)
    if (!pids.has(Number(words[pidColumn]))) return []
    const last = titles.length - 1
    return [[...words.slice(0, last), words.slice(last).join(' ')]]
  })
  return { titles, processes }
}

const hertz = 100 // USER_HZ, the same on every architecture that Linux's /proc is read on

async function readProcTable(pids: number[]): Promise<ProcessTable> {
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0])
  const rows = await Promise.all(pids.map((pid) => readProcess(pid, uptime)))
  return {
    titles: ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'],
    processes: rows.filter((row) => row !== undefined),
  }
}

/** undefined when the process has gone. */
async function readProcess(pid: number, uptime: number): Promise<string[] | undefined> {
  try {
    const [stats, commandLine, { uid }] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      stat(`/proc/${pid}`),
    ])
    // The name, in parentheses, may itself contain anything.
    const name = stats.slice(stats.indexOf('(') + 1, stats.lastIndexOf(')'))
    const fields = stats.slice(stats.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    const age = uptime - Number(fields[19]) / hertz
    const started = new Date(Date.now() - age * 1000)
    const usage = age > 0 ? Math.min(99, Math.floor((ticks / hertz / age) * 100)) : 0
    return [
      String(uid),
      String(pid),
      fields[1] ?? '0',
      String(usage),
      started.toTimeString().slice(0, 5),
      fields[4] === '0' ? '?' : 'pts',
      new Date((ticks / hertz) * 1000).toISOString().slice(11, 19),
      commandLine.replaceAll('\0', ' ').trim() || `[${name}]`,
    ]
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
