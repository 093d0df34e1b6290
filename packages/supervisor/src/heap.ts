/**
 * A service that mostly waits: young objects get two MiB instead of sixteen. Imported before anything else, since a
 * heap that has grown stays so.
 */
import { setFlagsFromString } from 'node:v8'

setFlagsFromString('--max-semi-space-size=2')
setFlagsFromString('--semi-space-growth-factor=1')
