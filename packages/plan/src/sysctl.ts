/** sysctls: only those that belong to a namespace of the container's own (config-linux.md#sysctl). */
import { invalid } from './config/reader.ts'
import { unsupported } from './config/unsupported.ts'
import type { Container } from './container.ts'
import type { NamespaceType, Step } from './step.ts'

const ipcKeys = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.msg_next_id',
  'kernel.sem',
  'kernel.sem_next_id',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_next_id',
  'kernel.shm_rmid_forced',
])

/**
 * One component of a key. Nothing else reaches the path below /proc/sys, and a value is one line: "+" and other
 * separators once smuggled further settings in (CVE-2022-0811).
 */
const keyPattern = /^[a-z0-9_-]+([./][A-Za-z0-9_*@:-]+)+$/
const valuePattern = /^[\x20-\x7e\t]*$/

export function sysctls(container: Container): Step[] {
  return entries(container).map(({ key, value, path, namespace }) => {
    if (container.namespaces.origin[namespace] === 'host')
      throw invalid(path, `would change the host's ${namespace} namespace: it needs one of its own`)
    if (key.replaceAll('/', '.') === 'kernel.domainname' && container.config.domainname)
      throw invalid(path, 'says what the field domainname says')
    return { do: 'sysctl', key, value, field: path }
  })
}

/** The namespaces that sysctls are set in: one that is joined must not turn out to be the host's. */
export function sysctlNamespaces(container: Container): Set<NamespaceType> {
  return new Set(entries(container).map(({ namespace }) => namespace))
}

function entries({ config }: Container): {
  key: string
  value: string
  path: string
  namespace: NamespaceType
}[] {
  return Object.entries(config.linux?.sysctl ?? {}).map(([key, value]) => {
    const path = `linux.sysctl.${key}`
    return { key, value, path, namespace: checkSysctl(key, value, path) }
  })
}

/** The type of namespace that holds the sysctl. Throws HF_INVALID_CONFIG or HF_UNSUPPORTED; `path` names the field. */
export function checkSysctl(key: string, value: string, path: string): NamespaceType {
  if (!keyPattern.test(key)) throw invalid(path, 'is no name of a sysctl')
  if (!valuePattern.test(value)) throw invalid(path, 'must be one line of printable characters')
  // A network interface's name may hold dots: with slashes between the parts, dots are part of a name (sysctl(8)).
  const dotted = key.includes('/') && !/^[^/]*\./.test(key) ? key.replaceAll('/', '.') : key
  if (dotted === 'kernel.hostname') throw unsupported(path, 'it is what the field hostname is for')
  const namespace = namespaceOf(dotted)
  if (namespace) return namespace
  throw unsupported(
    path,
    'it belongs to no namespace and would change the host',
    'Set it on the host if it is meant for the host.',
  )
}

function namespaceOf(key: string): NamespaceType | undefined {
  if (key.startsWith('net.')) return 'net'
  if (key === 'kernel.domainname') return 'uts'
  if (ipcKeys.has(key) || key.startsWith('fs.mqueue.')) return 'ipc'
  return undefined
}
