/** JSON of any size with named descriptors, as one message of a SOCK_SEQPACKET socket. */
import { readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import { closeFd, memfdCreate, receiveMessage, sendMessage } from '@holdfast/core'

/** What goes in the message itself; more (an exec may bring a megabyte of environment) goes in a file in memory. */
const inlineBytes = 32 * 1024

interface Envelope {
  /** Of the descriptors, in order; the file with the body comes after them. */
  names: string[]
  body?: unknown
}

export interface DescriptorMessage {
  body: unknown
  fds: Record<string, number>
}

/** The descriptors stay the caller's. Throws EPIPE where nobody is there any more. */
export function sendJson(socket: number, body: unknown, fds: Readonly<Record<string, number>> = {}): void {
  const names = Object.keys(fds)
  const whole = Buffer.from(JSON.stringify({ names, body } satisfies Envelope))
  if (whole.length <= inlineBytes) return send(socket, whole, Object.values(fds))
  const file = memfdCreate('message', Buffer.from(JSON.stringify(body)))
  try {
    send(socket, Buffer.from(JSON.stringify({ names } satisfies Envelope)), [...Object.values(fds), file])
  } finally {
    closeFd(file)
  }
}

/** Undefined where there is none yet, `end` where none will come. The descriptors are the caller's. */
export function receiveJson(socket: number): DescriptorMessage | 'end' | undefined {
  return receive(socket, { peek: false })
}

/** As `receiveJson`; the message stays where it is, and the descriptors are duplicates. */
export function peekJson(socket: number): DescriptorMessage | 'end' | undefined {
  return receive(socket, { peek: true })
}

function receive(socket: number, options: { peek: boolean }): DescriptorMessage | 'end' | undefined {
  const message = receiveMessage(socket, inlineBytes, options)
  if (message === undefined) return undefined
  const { data, fds } = message
  if (data.length === 0) return 'end'
  try {
    const { names, body } = JSON.parse(data.toString()) as Envelope
    const named = Object.fromEntries(names.map((name, index) => [name, fds[index]!]))
    const file = fds[names.length]
    if (file === undefined) return { body, fds: named }
    const text = readFileSync(`/proc/self/fd/${file}`, 'utf8')
    closeFd(file)
    return { body: JSON.parse(text), fds: named }
  } catch (error) {
    for (const fd of fds) closeFd(fd)
    throw error
  }
}

function send(socket: number, data: Buffer, fds: number[]): void {
  if (sendMessage(socket, data, fds) === undefined)
    throw new HoldfastError('HF_INTERNAL', 'the other side takes no messages')
}
