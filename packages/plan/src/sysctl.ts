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

/** hostname and domainname have fields of their own; two ways to say one thing could contradict each other. */
const utsKeys: Record<string, string> = { 'kernel.hostname': 'hostname', 'kernel.domainname': 'domainname' }

/**
 * One component of a key. Nothing else reaches the path below /proc/sys, and a value is one line: "+" and other
 * separators once smuggled further settings in (CVE-2022-0811).
 */
const keyPattern = /^[a-z0-9_-]+([./][A-Za-z0-9_*@:-]+)+$/
const valuePattern = /^[\x20-\x7e\t]*$/

export function sysctls(container: Container): Step[] {
  return Object.entries(container.config.linux?.sysctl ?? {}).map(([key, value]) => {
    const path = `linux.sysctl.${key}`
    const namespace = checkSysctl(key, value, path)
    const origin = container.namespaces.origin[namespace]
    if (origin !== 'new') {
      const whose = origin === 'host' ? "the host's" : "another container's"
      throw invalid(path, `would change ${whose} ${namespace} namespace: it needs a new one`)
    }
    return { do: 'sysctl', key, value }
  })
}

/** The type of namespace that holds the sysctl. Throws HF_INVALID_CONFIG or HF_UNSUPPORTED; `path` names the field. */
export function checkSysctl(key: string, value: string, path: string): NamespaceType {
  if (!keyPattern.test(key)) throw invalid(path, 'is no name of a sysctl')
  if (!valuePattern.test(value)) throw invalid(path, 'must be one line of printable characters')
  // A network interface's name may hold dots: with slashes between the parts, dots are part of a name (sysctl(8)).
  const dotted = key.includes('/') && !/^[^/]*\./.test(key) ? key.replaceAll('/', '.') : key
  if (utsKeys[dotted]) throw unsupported(path, `it is what the field ${utsKeys[dotted]} is for`)
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
  if (ipcKeys.has(key) || key.startsWith('fs.mqueue.')) return 'ipc'
  return undefined
}
