export {
  formatAddress,
  formatPrefix,
  networkOf,
  parseInterfaceAddress,
  type Address,
  type Family,
  type Prefix,
} from './address.ts'
export * from './bridge.ts'
export type { Range } from './ipam.ts'
export { openBridgeNetwork } from './open-network/open-bridge-network.ts'
export { raiseLoopback } from './loopback.ts'
export { chooseSubnet } from './subnet.ts'
export { diagnoseHost, type Diagnosis } from './diagnose.ts'
export type { Damage, LinkOfAttachment, NetworkEvent, Refusal } from './open-network/network-event.ts'
export type { Repair } from './open-network/repair.ts'
export { repairNetwork, type RepairOptions } from './open-network/repair-network.ts'
export { openResolver, type Resolver, type ResolverOptions } from './resolver.ts'
export {
  changeTable,
  resolvConf,
  type DnsChange,
  type DnsHost,
  type DnsTable,
  type LearnedAddresses,
  type Upstream,
} from '@holdfast/resolver'
export type { EgressPolicy, EgressRule } from './policy/egress-rule.ts'
export { parseEgressPolicy } from './policy/egress-text.ts'
export type { LearnName } from './policy/dns-name.ts'
export * from './attachment/network-config.ts'
export * from './attachment/verbs.ts'
export { validate } from './attachment/validate.ts'
export { validateRuntime } from './attachment/validate-runtime.ts'
export { setup } from './attachment/setup.ts'
export { teardown } from './attachment/teardown.ts'
export { inspect } from './attachment/inspect.ts'
export { sweep } from './attachment/sweep.ts'
