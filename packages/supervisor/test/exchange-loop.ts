/** Exchanges two entries of a directory again and again until it is killed: `exchange-loop.ts DIRECTORY NAME OTHER`. */
import { AT_FDCWD, O_DIRECTORY, openat2, RENAME_EXCHANGE, renameat2 } from '@holdfast/core'

const [path = '', name = '', other = ''] = process.argv.slice(2)
const directory = openat2(AT_FDCWD, path, { flags: O_DIRECTORY })
process.stdout.write('begun\n')
for (;;) renameat2(directory, name, directory, other, RENAME_EXCHANGE)
