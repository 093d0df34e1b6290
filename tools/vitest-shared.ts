// What the packages' vitest configurations share.
import type { ViteUserConfig } from 'vitest/config'

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
