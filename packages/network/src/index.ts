export * from './bridge.ts'
export { openBridgeNetwork } from './open-bridge-network.ts'
export { chooseSubnet } from './subnet.ts'
