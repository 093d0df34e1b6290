// What the packages' vitest configurations share.
import type { ViteUserConfig } from 'vitest/config'

// An older one knows some of what the programs under test need, and would let tests wait instead of failing.
if (Number.parseInt(process.versions.node, 10) < 24)
  throw new Error(
    `The tests need Node 24 or later, and this is ${process.version}: put .toolchain/node_modules/.bin first in PATH.`,
  )

/** A package's tests: unit tests beside the sources, and root tests in `test/` which are skipped, visibly, without root. */
export const projectTests: ViteUserConfig = {
  resolve: { conditions: ['@holdfast/source', 'node'] },
  ssr: { resolve: { conditions: ['@holdfast/source', 'node'] } },
  test: {
    // Namespaces belong to threads, so a test file is a process of its own.
    pool: 'forks',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // Against what hangs, not what is slow: a machine of two cores may be busy with something else.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
}
