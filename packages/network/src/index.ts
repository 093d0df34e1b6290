export * from './bridge.ts'
