/**
 * What is told to a shim of an exec before that is started. Where execs follow each other all whom one needs are warm, and
 * the shim launches it while its client goes on. Otherwise one turn more of each would cost more than that gains.
 */
import type { ExecSpec } from '@holdfast/protocol'
import type { ShimClient } from '../shims/shim-client.ts'
import { newId } from './names.ts'

/** An exec that is created so soon after another follows it. */
const soonMs = 10_000

/** How long after the end of one the shim has made ready for the next, whatever that executes. */
const readyMs = 20

export class ExecsAhead {
  #created = -Infinity
  #ended = -Infinity
  /** The last was of the kind for which a shim makes ready. */
  #usual = false
  #expected: string | undefined

  /** Somebody asks for one; what it is to be isn't known yet. */
  expect(client: ShimClient | undefined): void {
    this.#expected = undefined
    const now = performance.now()
    if (!client || !this.#usual || now - this.#created > soonMs || now - this.#ended < readyMs) return
    this.#expected = newId()
    client.prepareExec(this.#expected)
  }

  /** It was created. Returns its id. `startable`: nothing is wrong with it that is known. */
  create(client: ShimClient | undefined, spec: ExecSpec, startable: boolean): string {
    const expected = this.#expected
    this.#expected = undefined
    const now = performance.now()
    const follows = now - this.#created < soonMs
    this.#created = now
    // On a terminal a launch can't be silent (decision 61), and no launcher waits for a user who has to be looked up.
    this.#usual = startable && !spec.tty && spec.user === ''
    if (expected !== undefined) return expected
    const id = newId()
    // Before the client has its answer: the launch takes longer than the client does until its next request.
    if (follows && startable && !spec.tty) client?.prepareExec(id, spec)
    return id
  }

  /** One has ended. */
  ended(): void {
    this.#ended = performance.now()
  }
}
