import { randomBytes, randomFillSync, randomInt } from 'node:crypto'
import { HoldfastError } from '@holdfast/errors'

const grammar = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

/** Drawn for several ids at once: to draw takes longer than all else that an id needs. */
const idBytes = 32
const pool = Buffer.alloc(64 * idBytes)
let used = pool.length

/** A container's, exec's or endpoint's id: 64 hex digits. */
export function newId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return pool.toString('hex', used, (used += idBytes))
}

/** Docker's grammar and words. A leading slash is taken off. Throws HF_BAD_REQUEST. */
export function checkName(given: string, prefix = ''): string {
  const name = given.startsWith('/') ? given.slice(1) : given
  if (name.length <= 255 && grammar.test(name)) return name
  throw new HoldfastError(
    'HF_BAD_REQUEST',
    `${prefix}Invalid container name (${given}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    { details: { field: 'name', value: given } },
  )
}

const moods = [
  'amber',
  'brave',
  'brisk',
  'calm',
  'clear',
  'crisp',
  'deft',
  'eager',
  'fair',
  'fleet',
  'gentle',
  'glad',
  'hardy',
  'keen',
  'lively',
  'lucid',
  'merry',
  'mild',
  'neat',
  'noble',
  'patient',
  'plucky',
  'quiet',
  'ready',
  'serene',
  'sharp',
  'spry',
  'steady',
  'sturdy',
  'sunny',
  'swift',
  'tidy',
  'trusty',
  'vivid',
  'warm',
  'wry',
]
const things = [
  'anchor',
  'beacon',
  'bollard',
  'bowline',
  'buoy',
  'capstan',
  'cleat',
  'compass',
  'cutter',
  'davit',
  'dinghy',
  'ferry',
  'fathom',
  'galley',
  'halyard',
  'harbour',
  'hawser',
  'helm',
  'jetty',
  'kedge',
  'ketch',
  'lantern',
  'lugger',
  'mast',
  'mooring',
  'oar',
  'pilot',
  'quay',
  'rudder',
  'schooner',
  'sextant',
  'shackle',
  'skiff',
  'spar',
  'tiller',
  'windlass',
]

/** A name made up for a container that was given none. `taken` says which are in use. */
export function makeName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${moods[randomInt(moods.length)]}_${things[randomInt(things.length)]}`
    const full = attempt < 8 ? name : `${name}_${randomBytes(3).toString('hex')}`
    if (!taken(full)) return full
  }
}
