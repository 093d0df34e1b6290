export * from './disk-full.ts'
export * from './holdfast-error.ts'
export * from './syscall-error.ts'
export * from './registry.ts'
