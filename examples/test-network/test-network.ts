// A network for one test: a namespace that plays the host, a bridge in it, and as many namespaces as it takes.
// Everything lives in descriptors: when they are closed, the kernel takes the links, rules and addresses along.
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNamespace } from '@holdfast/core'
import {
  openBridgeNetwork,
  raiseLoopback,
  type Attachment,
  type BridgeNetwork,
  type BridgeOptions,
} from '@holdfast/network'

export interface Machine {
  /** Descriptor of its network namespace. */
  netns: number
  address: string
  attachment: Attachment
}

export class TestNetwork implements AsyncDisposable {
  readonly host = createNamespace('net')
  readonly #stateDir = mkdtempSync(join(tmpdir(), 'test-network-'))
  readonly #namespaces = [this.host]
  #network!: BridgeNetwork

  static async open(options: Partial<BridgeOptions> = {}): Promise<TestNetwork> {
    const test = new TestNetwork()
    await raiseLoopback(test.host)
    test.#network = await openBridgeNetwork({
      name: 'test',
      bridge: 'br0',
      table: 'test',
      subnets: [{ subnet: '10.1.0.0/24' }],
      ipMasq: true,
      stateDir: test.#stateDir,
      hostNetns: test.host,
      ...options,
    })
    return test
  }

  get network(): BridgeNetwork {
    return this.#network
  }

  async machine(id: string): Promise<Machine> {
    const netns = createNamespace('net')
    this.#namespaces.push(netns)
    const attachment = await this.#network.attach({ id, netns, interface: 'eth0' })
    return { netns, address: attachment.addresses[0]!.address, attachment }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#network.close()
    for (const netns of this.#namespaces) closeSync(netns)
    rmSync(this.#stateDir, { recursive: true })
  }
}
