export * from './bridge.ts'
export { openBridgeNetwork } from './open-bridge-network.ts'
export { chooseSubnet } from './subnet.ts'
export { diagnoseHost, type Diagnosis } from './diagnose.ts'
