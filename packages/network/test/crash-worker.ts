// Attaches and detaches for ever, until it is killed: the host's namespace is descriptor 3, the containers' are 4 to 9.
import { openBridgeNetwork, type Attachment } from '../src/index.ts'

const network = await openBridgeNetwork({
  name: 'test',
  bridge: 'hf0',
  table: 'hft',
  ipMasq: true,
  stateDir: process.argv[2]!,
  hostNetns: 3,
  subnets: [{ subnet: '10.77.0.0/24' }, { subnet: 'fd00:77::/64' }],
})
process.stdout.write('open\n')

async function live(netns: number): Promise<never> {
  for (let round = 0; ; round++) {
    const attachment: Attachment = await network.attach({
      id: `n${netns}r${round}`,
      netns,
      interface: 'eth0',
      ports: [{ protocol: 'tcp', containerPort: 80, hostPort: 8000 + netns }],
    })
    process.stdout.write(`attached ${JSON.stringify(attachment)}\n`)
    await new Promise((resolve) => setImmediate(resolve))
    process.stdout.write(`leaving ${attachment.id}\n`)
    if (round % 2 !== 0) await network.detach(attachment) // the link leaves in its own time …
    await network.detach(attachment, { wait: true }) // … and must have left before the name eth0 is free again
  }
}

await Promise.all([4, 5, 6, 7, 8, 9].map(live))
