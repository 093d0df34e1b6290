import { defineConfig } from 'vitest/config'
import { projectTests } from '../../tools/vitest-shared.ts'

export default defineConfig({
  ...projectTests,
  test: { ...projectTests.test, include: ['*.test.ts'] },
})
