import { projectTests } from '../../tools/vitest-shared.ts'

export default projectTests
