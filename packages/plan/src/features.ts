/**
 * What this runtime knows of the specification (features.md, features-linux.md): static, of the build and not of the
 * host. Every list is the very one that the reader of the field checks against, so nothing is advertised that isn't
 * parsed. A front end that prints it adds what is its own: `annotations`, whether it speaks to systemd.
 */
import { allCapabilities } from './config/capability-names.ts'
import { supportedVersions } from './config/config.ts'
import { hookKinds } from './config/hooks.ts'
import { memoryPolicyFlags, memoryPolicyModes, namespaceTypes } from './config/linux.ts'
import { seccompActions, seccompArchitectures, seccompFlags, seccompOperators } from './config/seccomp.ts'
import { mountOptionNames } from './mounts/mount-options.ts'

/** The shape of `features.json`; the names are the specification's. */
export interface OciFeatures {
  ociVersionMin: string
  ociVersionMax: string
  hooks: readonly string[]
  mountOptions: readonly string[]
  linux: {
    namespaces: readonly string[]
    capabilities: readonly string[]
    cgroup: { v1: boolean; v2: boolean; systemd: boolean; systemdUser: boolean; rdma: boolean }
    seccomp: {
      enabled: boolean
      actions: readonly string[]
      operators: readonly string[]
      archs: readonly string[]
      knownFlags: readonly string[]
      supportedFlags: readonly string[]
    }
    apparmor: { enabled: boolean }
    selinux: { enabled: boolean }
    intelRdt: { enabled: boolean; schemata: boolean; monitoring: boolean }
    memoryPolicy: { modes: readonly string[]; flags: readonly string[] }
    mountExtensions: { idmap: { enabled: boolean } }
    netDevices: { enabled: boolean }
  }
  annotations: Record<string, string>
  /** None: no annotation changes what is done. */
  potentiallyUnsafeConfigAnnotations: readonly string[]
}

/** OCI runtime-spec features.md: what this package knows of the specification. */
export const ociFeatures: OciFeatures = {
  ociVersionMin: supportedVersions.min,
  ociVersionMax: supportedVersions.max,
  hooks: hookKinds,
  mountOptions: mountOptionNames,
  linux: {
    namespaces: namespaceTypes,
    capabilities: allCapabilities,
    cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: true },
    seccomp: {
      enabled: true,
      actions: seccompActions,
      operators: seccompOperators,
      archs: seccompArchitectures,
      knownFlags: seccompFlags,
      supportedFlags: seccompFlags, // the oldest kernel that Holdfast runs on has them all
    },
    apparmor: { enabled: true },
    selinux: { enabled: true },
    intelRdt: { enabled: false, schemata: false, monitoring: false },
    memoryPolicy: { modes: memoryPolicyModes, flags: memoryPolicyFlags },
    mountExtensions: { idmap: { enabled: true } },
    netDevices: { enabled: true },
  },
  annotations: {},
  potentiallyUnsafeConfigAnnotations: [],
}
