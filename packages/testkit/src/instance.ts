import { randomBytes } from 'node:crypto'

/** A name for a supervisor's instance that no other test has: at most 8 characters, as `--instance` wants it. */
export function uniqueInstance(): string {
  return `t${randomBytes(3).toString('hex')}`
}
