// A DNS server for tests, as other people's servers are: slow, refusing, cutting off, lying. It does not use the code
// under test.
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

export type Behaviour = (question: Question) => Buffer | undefined

export interface Question {
  message: Buffer
  name: string
  type: number
  transport: 'udp' | 'tcp'
}

export class UpstreamServer implements AsyncDisposable {
  readonly port: number
  readonly questions: Question[] = []
  readonly #udp: Socket
  readonly #tcp: Server

  private constructor(udp: Socket, tcp: Server) {
    this.#udp = udp
    this.#tcp = tcp
    this.port = udp.address().port
  }

  /** `behave`: the answer; undefined for none. */
  static async start(address: string, behave: Behaviour): Promise<UpstreamServer> {
    const tcp = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.on('data', (chunk) => {
        const answer = server.#answer(chunk.subarray(2), 'tcp')
        if (answer) socket.end(Buffer.concat([Buffer.of(answer.length >> 8, answer.length & 255), answer]))
      })
    })
    tcp.listen(0, address)
    await once(tcp, 'listening')
    const udp = createSocket('udp4')
    udp.bind((tcp.address() as { port: number }).port, address)
    await once(udp, 'listening')
    const server = new UpstreamServer(udp, tcp)
    server.#behave = behave
    udp.on('message', (message, peer) => {
      const answer = server.#answer(message, 'udp')
      if (answer) udp.send(answer, peer.port, peer.address)
    })
    return server
  }

  #behave: Behaviour = () => undefined

  #answer(message: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    const labels: string[] = []
    let at = 12
    for (; message[at] !== 0; at += message[at]! + 1)
      labels.push(message.toString('latin1', at + 1, at + 1 + message[at]!))
    const question = {
      message,
      name: labels.join('.').toLowerCase(),
      type: message.readUInt16BE(at + 1),
      transport,
    }
    this.questions.push(question)
    return this.#behave(question)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp.close()
    this.#tcp.close()
    await once(this.#tcp, 'close')
  }
}

/** An answer to `question` with these addresses (type A) and flags. */
export function reply({ message }: Question, addresses: string[], flags = 0x8180): Buffer {
  let end = 12
  while (message[end] !== 0) end += message[end]! + 1
  end += 5
  const head = Buffer.from(message.subarray(0, end))
  head.writeUInt16BE(flags, 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt32BE(0, 8)
  const records = addresses.map((address) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]),
  )
  return Buffer.concat([head, ...records])
}
