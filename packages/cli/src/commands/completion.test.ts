import { expect, it } from 'vitest'

import { commands } from './index.ts'
import { complete } from './completion.ts'

const names = {
  containers: async (running: boolean) => (running ? ['web'] : ['web', 'old']),
  images: async () => ['busybox:latest'],
}
const offer = (...words: string[]) => complete(words, commands, names)

it('offers verbs, also of two words', async () => {
  expect(await offer('pa')).toEqual(['pause'])
  expect(await offer('ns', '')).toEqual(['create', 'enter', 'ls', 'rm'])
})
it('offers flags and the choices of a flag', async () => {
  expect(await offer('run', '--rea')).toEqual(['--read-only'])
  expect(await offer('run', '--pull', '')).toEqual(['missing', 'never', 'always'])
})
it('offers the names that the verb can work on', async () => {
  expect(await offer('stop', '')).toEqual(['web'])
  expect(await offer('rm', '')).toEqual(['web', 'old'])
  expect(await offer('run', 'busy')).toEqual(['busybox:latest'])
})
