/** Docker's request → OCI configuration: the defaults and the policy, and no I/O but in host-devices and host-facts. */
export { buildSpec, type Spec } from './build-spec.ts'
export { readSpecHost } from './host-facts.ts'
export { resolveBlockIo } from './block-io.ts'
export { resolveDevices } from './host-devices.ts'
export type { SpecDevice, SpecHost, SpecInput, SpecMount } from './spec-input.ts'
