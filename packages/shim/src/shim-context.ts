import type { Launcher } from './worker/launcher.ts'
import type { ShimEvent, ShimSpec } from '@holdfast/protocol'

/** What the parts of a shim share. */
export interface ShimContext {
  readonly dir: string
  readonly spec: ShimSpec
  readonly launcher: Launcher
  /** Of the directory: a descriptor that holds flock(2). */
  readonly lock: number
  /** Writes the state file. */
  save(): void
  /** Tells every control connection; how many there are. */
  emit(event: ShimEvent): number
  /** What was said goes out now, and not at the end of this turn of the event loop. */
  flush(): void
  log(level: 'info' | 'warn' | 'error', message: string): void
  /** A defect: logged; the container goes on. */
  fail(error: Error): void
}
