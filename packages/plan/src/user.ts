/**
 * Who a container's process runs as: Docker's reading of `--user user[:group]` against the container's own
 * /etc/passwd and /etc/group. Nothing is looked up by the host's libc: it would ask the host's name services.
 */
import { HoldfastError } from '@holdfast/errors'

/** Who a process runs as, in the container's own ids. */
export interface ResolvedUser {
  uid: number
  gid: number
  /** Supplementary groups, the primary one first: without it a group's denial could be dodged (CVE-2022-36109). */
  groups: number[]
  /** For HOME; `/` where passwd has no entry. */
  home: string
}

/** The kernel's ids are 32 bits wide, and a file of -1 means "none": Docker stops at 2^31-1. */
const maxId = 2 ** 31 - 1

/**
 * `spec`: `''` (uid 0), `user`, `uid`, `user:group`, … Names are looked up in the texts of the two files; null: no
 * such file. A number needs no entry. Throws HF_BAD_REQUEST with `details.field` `user`.
 */
export function resolveUser(spec: string, passwd: string | null, group: string | null): ResolvedUser {
  const colon = spec.indexOf(':')
  const userPart = colon < 0 ? spec : spec.slice(0, colon)
  const groupPart = colon < 0 ? '' : spec.slice(colon + 1)
  const users = parsePasswd(passwd)
  const entry = users.find((user) =>
    userPart === '' ? user.uid === 0 : user.name === userPart || String(user.uid) === userPart,
  )
  const uid = entry?.uid ?? (userPart === '' ? 0 : parseId(userPart))
  if (uid === null) throw notFound('user', userPart, { file: 'passwd', isThere: passwd !== null })
  checkRange(uid, userPart)
  const groups = parseGroup(group)
  const gid = groupPart === '' ? (entry?.gid ?? 0) : findGroup(groupPart, groups, group !== null)
  checkRange(gid, groupPart)
  // A group given by hand stands alone; else the groups that list the user as a member come along.
  const member = groupPart === '' && entry ? groups.filter((each) => each.members.includes(entry.name)) : []
  for (const each of member) checkRange(each.gid, each.name)
  return {
    uid,
    gid,
    groups: [...new Set([gid, ...member.map((each) => each.gid)])],
    home: entry?.home || '/',
  }
}

/** `--group-add`: names and numbers → ids. Throws HF_BAD_REQUEST for a name that /etc/group doesn't have. */
export function resolveGroups(names: string[], group: string | null): number[] {
  const groups = parseGroup(group)
  return names.map((name) => {
    const gid = findGroup(name, groups, group !== null)
    checkRange(gid, name)
    return gid
  })
}

interface PasswdEntry {
  name: string
  uid: number
  gid: number
  home: string
}

interface GroupEntry {
  name: string
  gid: number
  members: string[]
}

function parsePasswd(text: string | null): PasswdEntry[] {
  return fields(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) => {
    const entry = { name, uid: parseId(uid), gid: parseId(gid), home }
    return entry.name === '' || entry.uid === null || entry.gid === null ? [] : [entry as PasswdEntry]
  })
}

function parseGroup(text: string | null): GroupEntry[] {
  return fields(text).flatMap(([name = '', , id = '', members = '']) => {
    const gid = parseId(id)
    return name === '' || gid === null
      ? []
      : [{ name, gid, members: members.split(',').map((each) => each.trim()) }]
  })
}

/** A line that isn't a record is skipped, as libc does: an image may hold anything. */
function fields(text: string | null): string[][] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}

function findGroup(name: string, groups: GroupEntry[], isThere: boolean): number {
  const entry = groups.find((each) => each.name === name || String(each.gid) === name)
  const gid = entry?.gid ?? parseId(name)
  if (gid === null) throw notFound('group', name, { file: 'group', isThere })
  return gid
}

function parseId(text: string): number | null {
  return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : null
}

function checkRange(id: number, name: string): void {
  if (id < 0 || id > maxId) throw refuse(`uids and gids must be in range 0-${maxId}`, name)
}

function notFound(
  what: string,
  name: string,
  { file, isThere }: { file: string; isThere: boolean },
): HoldfastError {
  const hint = isThere ? undefined : `The container has no regular file /etc/${file}: give a number.`
  return refuse(`unable to find ${what} ${name}: no matching entries in ${file} file`, name, hint)
}

function refuse(message: string, value: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, {
    ...(hint !== undefined && { hint }),
    details: { field: 'user', value },
  })
}
