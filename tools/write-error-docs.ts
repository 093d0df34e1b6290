// Writes docs/errors.md from the registry of codes; a test of packages/errors compares the two.
import { writeFileSync } from 'node:fs'
import { errorCodes } from '../packages/errors/src/registry.ts'

const rows = Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`)
writeFileSync(
  new URL('../docs/errors.md', import.meta.url),
  `# Errors

Holdfast throws two kinds of errors. A \`SyscallError\` is a system call's failure in Node's own shape (\`code: 'EPERM'\`,
\`errno\`, \`syscall\`, \`path\`), with the plan's \`step\` that failed and a \`hint\`. A \`HoldfastError\` carries one of the
codes below, which stay as they are from version to version, a \`hint\` saying what to do, and \`details\` for programs.
The Docker API answers with \`{"message", "code", "hint"}\`.

This table is made of \`packages/errors/src/registry.ts\` by \`tools/write-error-docs.ts\`.

| code | when |
|---|---|
${rows.join('\n')}
`,
)
