import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { closeAside } from './close-aside.ts'
import { closeFd, dupCloexec, flock, pipe2, readFd } from './descriptor.ts'

const threads = (): number => readdirSync('/proc/self/task').length

it('frees the numbers at once, and tells when the kernel is done with the descriptors', async () => {
  const lock = openSync('/proc/self/exe', 'r')
  const other = openSync('/proc/self/exe', 'r')
  expect(flock(lock, 'exclusive')).toBe(true)
  const ends = Array.from({ length: 20 }, () => pipe2())
  const duplicate = dupCloexec(lock)
  const before = threads()
  const [closed] = closeAside([...ends.map(({ write }) => write), lock, duplicate])
  expect(() => fstatSync(lock)).toThrow(/EBADF/)
  expect(() => fstatSync(duplicate)).toThrow(/EBADF/)
  await closed
  expect(flock(other, 'exclusive')).toBe(true) // nobody has the lock's descriptors any more
  for (const { read } of ends) {
    expect(readFd(read, 1)).toHaveLength(0)
    closeFd(read)
  }
  closeSync(other)
  await expect.poll(threads).toBe(before)
})

it('leaves what it was not given open here, and holds none of it', async () => {
  const mine = pipe2()
  const given = pipe2()
  const [closed] = closeAside([given.write])
  closeFd(mine.write)
  expect(readFd(mine.read, 1)).toHaveLength(0) // waits for every copy of the other end
  await closed
  for (const fd of [mine.read, given.read]) closeFd(fd)
})

it('tells of each group, also of an empty one', async () => {
  const [first, second] = [pipe2(), pipe2()]
  const [one, none, two] = closeAside([first.write], [], [second.write])
  await one
  expect(readFd(first.read, 1)).toHaveLength(0)
  await Promise.all([none, two])
  expect(readFd(second.read, 1)).toHaveLength(0)
  for (const { read } of [first, second]) closeFd(read)
})

it('takes many at once', async () => {
  const ends = Array.from({ length: 30 }, () => pipe2())
  await Promise.all(ends.flatMap(({ write }) => closeAside([write])))
  for (const { read } of ends) {
    expect(readFd(read, 1)).toHaveLength(0)
    closeFd(read)
  }
})
