/** What this host can and cannot do for a bridge network, each with the fix: a part of `hold doctor`. */
import { randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import { createNamespace } from '@holdfast/core'
import { parsePrefix } from './address.ts'
import { forwardObstacles } from './forward-policy.ts'
import { inNetns, readSysctl } from './netns.ts'
import { NetlinkSocket, NETLINK_ROUTE } from './netlink/netlink.ts'
import { nftApply, runProgram } from './nft.ts'
import { newBridge, newVeth, getLink, parseLink } from './netlink/rtnetlink.ts'
import { policyText } from './policy/policy-ruleset.ts'
import { openRefusalLog } from './policy/refusal-log.ts'
import { installText } from './ruleset.ts'

/** One thing that was looked at, and what to do about it. */
export interface Diagnosis {
  check: string
  ok: boolean
  detail: string
  /** What to do where it is not ok; empty where it is. */
  fix: string
}

/** Changes nothing on the host: what must be tried is tried in a network namespace of its own. */
export async function diagnoseHost(hostNetns?: number): Promise<Diagnosis[]> {
  const checks = [
    attempt(
      'network namespaces, bridges and veth pairs',
      'Load the modules bridge and veth; Holdfast needs root.',
      tryLinks,
    ),
    attempt('nft', 'Install it: apt-get install nftables.', nftVersion),
    attempt(
      'nf_tables with nat, fib and masquerade',
      'Load nf_tables, nft_chain_nat, nft_fib_inet and nft_masq.',
      tryRules,
    ),
    attempt(
      'egress policies',
      'Load nft_log, nft_reject_inet, nfnetlink_log and nf_tables for the bridge family.',
      tryPolicies,
    ),
    attempt(
      'IPv6',
      'Published ports and networks are IPv4 only; boot without ipv6.disable=1 to have it.',
      () => ipv6(hostNetns),
    ),
    attempt('forwarding', 'A firewall of the host drops what containers send.', () => forwarding(hostNetns)),
    attempt('bridge-nf-call-iptables', '', () => bridgeNetfilter(hostNetns)),
  ]
  return Promise.all(checks)
}

class Shortcoming extends Error {
  readonly fix: string | undefined
  constructor(message: string, fix?: string) {
    super(message)
    this.fix = fix
  }
}

async function attempt(check: string, fix: string, work: () => Promise<string> | string): Promise<Diagnosis> {
  try {
    return { check, ok: true, detail: await work(), fix: '' }
  } catch (error) {
    const own = error instanceof Shortcoming ? error.fix : undefined
    return {
      check,
      ok: false,
      detail: error instanceof Error ? error.message : String(error),
      fix: own ?? fix,
    }
  }
}

async function tryLinks(): Promise<string> {
  const [host, container] = [createNamespace('net'), createNamespace('net')]
  const socket = NetlinkSocket.open(NETLINK_ROUTE, host)
  try {
    const mac = Buffer.from('0a6800000001', 'hex')
    const [, [bridge]] = (await socket.request([
      newBridge({ name: 'probe', mac, mtu: undefined }),
      getLink('probe'),
    ])) as [unknown, [Parameters<typeof parseLink>[0]]]
    await socket.request([
      newVeth({
        name: 'pair',
        bridgeIndex: parseLink(bridge).index,
        mtu: undefined,
        peer: { name: 'eth0', mac, netns: container },
      }),
    ])
    return 'a pair was made across two namespaces'
  } finally {
    socket.close()
    closeSync(host)
    closeSync(container)
  }
}

async function nftVersion(): Promise<string> {
  const outcome = await runProgram('nft', ['--version'], '')
  if (outcome === undefined) throw new Shortcoming('the program nft is missing')
  return outcome.stdout.trim()
}

async function tryRules(): Promise<string> {
  const netns = createNamespace('net')
  try {
    const subnets = [parsePrefix('192.0.2.0/24', 'probe'), parsePrefix('2001:db8::/64', 'probe')]
    const table = `probe${randomBytes(4).toString('hex')}`
    await nftApply(
      installText({ table, bridge: 'probe', subnets, ipMasq: true, internal: false, isolated: true }, []),
      netns,
    )
    return 'the ruleset of a network was written'
  } finally {
    closeSync(netns)
  }
}

async function tryPolicies(): Promise<string> {
  const netns = createNamespace('net')
  try {
    const subnets = [parsePrefix('192.0.2.0/24', 'probe')]
    const log = await openRefusalLog(1, netns, () => undefined)
    try {
      await nftApply(policyText({ table: 'probe', bridge: 'probe', subnets, logGroup: log.group }), netns)
    } finally {
      log.close()
    }
    return 'the rules of a policy were written, and its log opened'
  } finally {
    closeSync(netns)
  }
}

function ipv6(hostNetns: number | undefined): string {
  const disabled = inNetns(hostNetns, () => readSysctl('ipv6/conf/all/disable_ipv6'))
  if (disabled === undefined) throw new Shortcoming('this kernel runs without IPv6')
  if (disabled !== '0')
    throw new Shortcoming('IPv6 is switched off', 'sysctl -w net.ipv6.conf.all.disable_ipv6=0')
  return 'available'
}

async function forwarding(hostNetns: number | undefined): Promise<string> {
  const obstacles = await forwardObstacles('BRIDGE', hostNetns)
  if (obstacles.length > 0) {
    throw new Shortcoming(
      `dropped by ${obstacles.map(({ what }) => what).join(' and ')}`,
      obstacles.map(({ fix }) => fix).join(' && '),
    )
  }
  const on = inNetns(hostNetns, () => readSysctl('ipv4/ip_forward'))
  return on === '1' ? 'on' : 'off; a network switches net.ipv4.ip_forward on when it is opened'
}

function bridgeNetfilter(hostNetns: number | undefined): string {
  const value = inNetns(hostNetns, () => readSysctl('bridge/bridge-nf-call-iptables'))
  if (value === '1')
    return 'on: what containers of one network send each other passes the host’s FORWARD rules too'
  return 'off'
}
