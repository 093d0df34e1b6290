/** Published ports in the rules: each is an element of a map, written and withdrawn by netlink. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatAddress } from '../address.ts'
import type { PublishedPort } from '../bridge.ts'
import type { RulesContext } from '../open-network/context.ts'
import { ensureRules } from '../host-bridge.ts'
import {
  addElements,
  changeElements,
  concatenation,
  deleteElements,
  dumpElements,
  parseElements,
  type ElementRequest,
} from '../netlink/nfnetlink.ts'
import { describeElement, elementsOf, targetOf } from './port-elements.ts'
import { forgetFlows } from './udp-flows.ts'

/** Writes the elements; all or none. HF_PORT_IN_USE names the container that has the port. */
export async function translatePorts(
  context: RulesContext,
  addresses: string[],
  ports: PublishedPort[],
): Promise<void> {
  const requests = elementsOf(context, addresses, ports)
  if (requests.length === 0) return
  try {
    await add(context, requests)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    await reinstall(context)
    await add(context, requests)
  }
  await forgetFlows(context, addresses, ports, 'publish')
}

/** Idempotent. */
export async function withdrawPorts(
  context: RulesContext,
  addresses: string[],
  ports: PublishedPort[],
): Promise<void> {
  await deletePresent(context, elementsOf(context, addresses, ports))
  await forgetFlows(context, addresses, ports, 'withdraw')
}

async function add(context: RulesContext, requests: ElementRequest[]): Promise<void> {
  try {
    await context.netfilter.request(addElements(requests))
  } catch (error) {
    if (!hasCode(error, 'EEXIST', 'EBUSY')) throw error
    throw await portClash(context, requests, error)
  }
}

/**
 * All in one transaction, as they are there nearly always; where one is not (somebody flushed our table) each
 * has one of its own. A transaction that fails costs the kernel an RCU grace period.
 */
export async function deletePresent(
  context: Pick<RulesContext, 'netfilter'>,
  requests: ElementRequest[],
): Promise<void> {
  if (requests.length === 0) return
  try {
    await context.netfilter.request(deleteElements(requests))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    if (requests.length === 1) return
    for (const request of requests) await deletePresent(context, [request])
  }
}

/** Another process of ours, or an earlier one that was killed, translates the port already. */
async function portClash(
  context: RulesContext,
  requests: ElementRequest[],
  cause: unknown,
): Promise<HoldfastError> {
  for (const request of requests) {
    const wanted = request.elements.map(({ key }) => concatenation(key))
    const replies = await context.netfilter.dump(dumpElements(request))
    const taken = replies.flatMap(parseElements).find(({ key }) => wanted.some((each) => each.equals(key)))
    if (!taken?.data) continue
    const address = formatAddress(targetOf(taken.data))
    const container = context.ownerOf?.(address)
    const element = describeElement({ ...request, elements: [{ key: [taken.key], data: [taken.data] }] })
    return new HoldfastError(
      'HF_PORT_IN_USE',
      `a port is in use by ${container === undefined ? `a container with address ${address}` : `container ${container.slice(0, 12)}`}: ${element}`,
      {
        hint: 'Where an engine that was killed left it behind, its next start removes it.',
        details: { holder: { address, ...(container !== undefined && { container }) } },
        cause,
      },
    )
  }
  return new HoldfastError('HF_PORT_IN_USE', 'a port was translated to another container until just now', {
    hint: 'Try again.',
    cause,
  })
}

/** Somebody flushed the host's whole ruleset: ours is written again, with every port that is published. */
async function reinstall(context: RulesContext): Promise<void> {
  await ensureRules(context.options, context.plan)
  await addMissing(
    context,
    [...context.published.values()].flatMap(({ addresses, ports }) =>
      elementsOf(context, addresses, [...ports.values()]),
    ),
  )
}

/** Adds what may be there already. */
export async function addMissing({ netfilter }: RulesContext, add: ElementRequest[]): Promise<void> {
  if (add.length > 0) await netfilter.request(changeElements({ add, exclusive: false }))
}
