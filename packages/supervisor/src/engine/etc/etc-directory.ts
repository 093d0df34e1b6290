/** Writes the three files of /etc that a container gets from the engine, into its directory under the data root. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname as hostHostname } from 'node:os'
import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import { egressOf, ownResolver } from '../network/egress.ts'
import { hostNetworkHostsFile, hostsFile, readHostResolvConf, resolvConf } from './etc-files.ts'
import type { NamespaceChoices } from '../namespaces/namespace-modes.ts'

/** The name that the container's processes see. */
function hostnameOf({ record }: Container, choices: NamespaceChoices): string {
  return choices.namespaces.uts.kind === 'host' ? hostHostname() : record.config.Hostname
}

/** hostname and resolv.conf, and hosts as far as it is known before the network is there. */
export function writeEtcFiles(context: EngineContext, container: Container, choices: NamespaceChoices): void {
  const { record } = container
  // A container in another's network namespace has the other's files: its own are not used.
  if (choices.namespaces.net.kind === 'container') return
  const { hostConfig } = record
  put(record.hostnamePath, `${hostnameOf(container, choices)}\n`)
  put(
    record.resolvConfPath,
    resolvConf({
      host: readHostResolvConf(),
      dns: egressOf(record.config) ? [ownResolver] : hostConfig.Dns,
      search: hostConfig.DnsSearch,
      options: hostConfig.DnsOptions,
      hostNetwork: choices.network === 'host',
    }),
  )
  writeHosts(context, container, choices)
}

/** Written in place once the addresses are known: the file is mounted in the container by then. */
export function writeHosts(context: EngineContext, container: Container, choices: NamespaceChoices): void {
  const { record, book } = container
  const { ExtraHosts } = record.hostConfig
  const text =
    choices.network === 'host'
      ? hostNetworkHostsFile(readFileSync('/etc/hosts', 'utf8'), ExtraHosts)
      : hostsFile({
          addresses: book.attachment?.addresses.map(({ address }) => address) ?? [],
          hostname: hostnameOf(container, choices),
          domainname: record.config.Domainname,
          extraHosts: ExtraHosts,
          // As with Docker, the bridge's own address: it is the host's wherever the container is connected.
          hostGateway: context.network.options.subnets[0]?.gateway,
        })
  put(record.hostsPath, text)
}

/** Root's on the host: mounted with the container's id map they are root's in it too. */
function put(path: string, text: string): void {
  writeFileSync(path, text)
  chmodSync(path, 0o644)
}
