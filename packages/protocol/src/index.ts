export * from './messages.ts'
export * from './codec.ts'
export * from './lifecycle.ts'
export * from './json-log.ts'
