/** Platforms as images name them: Go's words for systems and processors. */
import { HoldfastError } from '@holdfast/errors'
import type { Platform } from './task/task.ts'

const architectures: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'amd64',
  ia32: '386',
  ppc64: 'ppc64le',
}

export function hostPlatform(): Platform {
  const architecture = architectures[process.arch] ?? process.arch
  return { os: 'linux', architecture, ...(architecture === 'arm' && { variant: 'v7' }) }
}

/** `linux/arm/v7`, `linux/amd64`, or the system alone. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/')
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw new HoldfastError('HF_BAD_REQUEST', `${JSON.stringify(text)} is an invalid platform`, {
      hint: 'A platform looks like linux/amd64 or linux/arm/v7.',
      details: { field: 'platform' },
    })
  }
  const [os, architecture = hostPlatform().architecture, variant] = parts as [string, string?, string?]
  return {
    os: os.toLowerCase(),
    architecture: architecture.toLowerCase(),
    ...(variant !== undefined && { variant }),
  }
}
