import * as v from 'valibot'
import type { ContainerConfig, HostConfig, NetworkingConfig } from '../../engine/container-config.ts'
import {
  checkHostConfig,
  hostConfigSchema,
  refuseInHostConfig,
  refusedInHostConfig,
  withDefaults,
} from './host-config.ts'
import { checkPortKey } from './port-key.ts'
import {
  command,
  flag,
  integer,
  keySet,
  mapOf,
  optionalText,
  foldBody,
  parseFolded,
  text,
  textList,
  textMap,
  withDefault,
} from './primitives.ts'
import { isZero, refuseUnsupported, type Unsupported } from './refuse-unsupported.ts'

const endpointSchema = v.object({
  IPAMConfig: v.optional(v.nullable(v.object({ IPv4Address: optionalText, IPv6Address: optionalText }))),
  Aliases: v.optional(v.nullable(textList)),
  MacAddress: optionalText,
})

const createSchema = v.object({
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: flag,
  // Docker's clients always send these; what is left out is not attached.
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: keySet,
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: textList,
  Cmd: command,
  Image: text,
  Volumes: keySet,
  WorkingDir: text,
  Entrypoint: command,
  Labels: textMap,
  StopSignal: optionalText,
  StopTimeout: v.optional(v.nullable(integer)),
  MacAddress: optionalText,
  HostConfig: withDefault(hostConfigSchema),
  NetworkingConfig: withDefault(v.object({ EndpointsConfig: mapOf(withDefault(endpointSchema)) })),
})

const unsupportedFields: Unsupported = {
  Healthcheck: (value) => isZero(value) || isNoHealthcheck(value),
  NetworkDisabled: isZero,
  ArgsEscaped: isZero,
  OnBuild: isZero,
  Shell: isZero,
}

/** Of an endpoint; addresses and ids that `inspect` shows are ignored, as dockerd does. */
const unsupportedEndpointFields: Unsupported = {
  Links: isZero,
  DriverOpts: isZero,
  GwPriority: isZero,
  DNSNames: isZero,
}

const refusedNames = [
  ...Object.keys(unsupportedFields),
  ...Object.keys(unsupportedEndpointFields),
  'LinkLocalIPs',
  ...refusedInHostConfig,
]

export interface CreateRequest {
  config: ContainerConfig
  host: HostConfig
  networking: NetworkingConfig
}

/** The body of a create request, checked and with every default. Throws HF_BAD_REQUEST and HF_UNSUPPORTED. */
export function parseCreate(given: unknown): CreateRequest {
  const body = foldBody(createSchema, given, refusedNames)
  refuseUnsupported('', body, unsupportedFields)
  const { HostConfig: rawHost, NetworkingConfig: rawNetworking } = body
  refuseInHostConfig(rawHost)
  refuseInEndpoints((rawNetworking as { EndpointsConfig?: unknown } | null | undefined)?.EndpointsConfig)

  const { HostConfig: parsedHost, NetworkingConfig: networking, ...config } = parseFolded(createSchema, body)
  for (const key of Object.keys(config.ExposedPorts)) checkPortKey(`ExposedPorts.${key}`, key)
  checkHostConfig(parsedHost)
  return {
    config: withoutNulls(config) as unknown as ContainerConfig,
    host: withoutNullOptions(withDefaults(parsedHost)),
    networking: networking as NetworkingConfig,
  }
}

function refuseInEndpoints(endpoints: unknown): void {
  if (typeof endpoints !== 'object' || endpoints === null) return
  for (const [name, endpoint] of Object.entries(endpoints)) {
    const where = `NetworkingConfig.EndpointsConfig.${name}.`
    refuseUnsupported(where, endpoint, unsupportedEndpointFields)
    const ipam = (endpoint as { IPAMConfig?: unknown } | null)?.IPAMConfig
    refuseUnsupported(`${where}IPAMConfig.`, ipam, { LinkLocalIPs: isZero })
  }
}

/** `{"Test": []}` inherits, and there is nothing to inherit; `["NONE"]` asks for none. */
function isNoHealthcheck(value: unknown): boolean {
  const test = (value as { Test?: unknown }).Test
  return Object.values(value as object).every(isZero) || (Array.isArray(test) && test[0] === 'NONE')
}

/** Fields that are absent when not set; clients send null for that too. */
const absentWhenNull = ['StopSignal', 'StopTimeout', 'MacAddress'] as const

function withoutNulls(config: Record<string, unknown>): Record<string, unknown> {
  const result = { ...config }
  for (const name of absentWhenNull) if (isAbsent(result[name])) delete result[name]
  return result
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === ''
}

function withoutNullOptions(host: ReturnType<typeof withDefaults>): HostConfig {
  const Mounts = host.Mounts.map(
    (mount) => Object.fromEntries(Object.entries(mount).filter(([, value]) => value !== null)) as never,
  )
  return { ...host, Mounts } as HostConfig
}
