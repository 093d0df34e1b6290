/** What the container's own program and an exec'd one have in common: stdio, clients, signals, an end. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { closeFd, dupCloexec, pidfdSendSignal, setWindowSize } from '@holdfast/core'
import type { ChannelStreams } from '@holdfast/protocol'
import type { Channel } from './stdio/channel.ts'
import type { FirstLook } from './exec/first-look.ts'
import type { Input } from './stdio/input.ts'
import type { KeeperHandle, ProcessHandle } from './launch/launched.ts'
import { Output } from './stdio/output.ts'
import { endRecord, keeperEnd, processEnd, type EndRecord } from './launch/process-end.ts'
import type { OutputLog } from './log/log-writer.ts'
import { connectStdio } from './stdio/stdio.ts'

/** How long clients and the log wait, after the end, for output of something else that holds the pipe. As Docker. */
const drainMs = 2_000

export interface LiveProcess {
  init: ProcessHandle | undefined
  keeper: KeeperHandle | undefined
  /** By the names of `makeStdio`. */
  fds: Record<string, number>
  console: number | undefined
  recordPath: string
}

export interface ContainedOptions {
  /** Of its log; 1 without one. */
  maxFile: number
  /** Whether it reads what clients send; else that is discarded, on a terminal too. */
  stdin: boolean
  /** Whether a client's end of input, or its leaving, is the process's. */
  stdinOnce: boolean
  /** Whether clients are told of the end of the output with the end of the process, by `goodbye`. */
  lateGoodbye?: boolean
}

export class ContainedProcess {
  readonly output: Output
  readonly #options: ContainedOptions
  #input: Input | undefined
  #live: LiveProcess | undefined
  #terminal: number | undefined
  #early: ((input: Input) => void)[] = []
  #over = false
  /** Whether its keeper has told of its end, and so has written it down, unless the disk is full. */
  keeperTold = false

  constructor(log: OutputLog, options: ContainedOptions) {
    this.output = new Output(log, options)
    this.#options = options
  }

  get pid(): number {
    return this.#live?.init?.pid ?? 0
  }

  get handle(): ProcessHandle | undefined {
    return this.#live?.init
  }

  get keeper(): KeeperHandle | undefined {
    return this.#live?.keeper
  }

  /**
   * From now on it runs: its output is pumped. Resolves when it has ended and all of its output was logged.
   * `onInitEnd` is called when it has ended and others may still hold its pipes. `firstLook`: its output waits for that.
   */
  async follow(
    live: LiveProcess,
    { onInitEnd, firstLook }: { onInitEnd?: () => Promise<void>; firstLook?: FirstLook | undefined } = {},
  ): Promise<EndRecord> {
    this.#live = live
    // A copy for the window's size: the pump closes its own when the last program has closed the terminal.
    this.#terminal = live.console === undefined ? undefined : dupCloexec(live.console)
    const { input, sources } = connectStdio(live.fds, live.console, this.#options.stdin)
    this.#input = input
    for (const attach of this.#early.splice(0)) attach(input)
    const ended = processEnd(live.init, live.keeper)
    if (firstLook) await firstLook.begin(ended)
    this.output.start(sources, { atOnce: firstLook !== undefined })
    const told = await ended
    this.keeperTold = told !== undefined
    this.#live = { ...live, init: undefined } // there is nobody to be signalled any more
    await onInitEnd?.()
    const patience = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.output.finish()
      patience.resolve()
    }, drainMs)
    await Promise.all([told ? undefined : keeperEnd(live.keeper, patience.promise), this.output.ended])
    clearTimeout(timer)
    this.#live = undefined
    if (this.#terminal !== undefined) closeFd(this.#terminal)
    this.#terminal = undefined
    const end = told ?? (await endRecord(live.recordPath, live.init))
    this.#over = true
    input.close()
    return end
  }

  /** It will never run: whoever is attached is told so. */
  abandon(): void {
    if (this.#input || this.#over) return
    this.#over = true
    this.output.start([])
    this.output.goodbye()
  }

  attach(channel: Channel, wanted: Omit<ChannelStreams, 'channel'>, options: { logs: boolean }): void {
    this.output.attach(channel, wanted, options.logs)
    if (wanted.stdin) this.#attachStdin(channel)
    else channel.onInput(() => {}) // what it says goes nowhere, and must not pile up
  }

  /** Throws HF_CONTAINER_NOT_RUNNING when it is gone. */
  kill(signal: number): void {
    const pidfd = this.handle?.pidfd
    if (pidfd === undefined) throw notRunning()
    try {
      pidfdSendSignal(pidfd, signal)
    } catch (error) {
      if (hasCode(error, 'ESRCH')) throw notRunning()
      throw error
    }
  }

  /** Without a terminal there is nothing to resize, and no harm either. */
  resize(rows: number, columns: number): void {
    if (this.#terminal !== undefined) setWindowSize(this.#terminal, rows, columns)
  }

  /** Until there is a process to read it, what comes waits in the channel: a window's worth at most. */
  #attachStdin(channel: Channel): void {
    const connect = (input: Input) => {
      channel.onInput((payload) => {
        if (payload.length > 0) return input.write(payload)
        if (this.#options.stdinOnce) input.end()
      })
      channel.onGone(() => {
        if (this.#options.stdinOnce) input.end()
      })
    }
    if (this.#input) connect(this.#input)
    else if (!this.#over) this.#early.push(connect)
  }
}

export function notRunning(): HoldfastError {
  return new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'the process has ended, or was never started')
}
