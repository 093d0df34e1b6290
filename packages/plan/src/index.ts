export * from './plan.ts'
export * from './step.ts'
export {
  parseConfig,
  parseConfigJson,
  parseJson,
  supportedVersions,
  type OciConfig,
} from './config/config.ts'
export { readProcess, type OciProcess } from './config/process.ts'
export { allCapabilities, capabilityMask, capabilityNames } from './config/capability-names.ts'
export type { OciMount } from './config/mounts.ts'
export type { OciDevice } from './config/linux.ts'
export type { OciDeviceRule, OciResources } from './config/resources.ts'
export { ociFeatures, type OciFeatures } from './features.ts'
export { checkSysctl } from './sysctl.ts'
export { planContainer, sessionKeyring } from './plan-container.ts'
export { planExec, programStep, cgroupProcs } from './plan-exec.ts'
export { planUpdate, type CgroupPlace } from './plan-update.ts'
export { shimHooks } from './hooks.ts'
export { describeStep } from './describe-step.ts'
export { stepField } from './step-field.ts'
export { explain } from './explain.ts'
export * from './user.ts'
