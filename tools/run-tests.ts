// Runs vitest over all packages and closes with the one line that says how it went.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-tests-'))
const report = join(scratch, 'report.json')
const vitest = spawnSync(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    'vitest.all.config.ts',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { stdio: 'inherit' },
)

let counts: {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  numFailedTestSuites: number
}
try {
  counts = JSON.parse(readFileSync(report, 'utf8')) as typeof counts
} catch {
  console.log('vitest left no report\n0 passed, 1 failed')
  process.exit(1)
} finally {
  rmSync(scratch, { recursive: true })
}

// A file that could not even be loaded, or an error outside any test, has no failed test to be counted by.
const failed = counts.numFailedTests > 0 || vitest.status === 0 ? counts.numFailedTests : 1
const skipped = counts.numPendingTests > 0 ? `, ${counts.numPendingTests} skipped` : ''
console.log(`${counts.numPassedTests} passed, ${failed} failed${skipped}`)
process.exit(failed > 0 || counts.numPassedTests === 0 ? 1 : 0)
