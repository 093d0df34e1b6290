/** Starts a zygote and a container, says which processes they are, and waits to be killed. */
import { connectShim } from '../../supervisor/src/shims/shim-client.ts'
import { ZygoteClient } from '../../supervisor/src/shims/zygote-client.ts'

const [, , dir = '', token = ''] = process.argv
const zygote = await ZygoteClient.start({ cgroupParent: '/hf-shim-test' })
await zygote.fork({ dir, create: true })
const shim = await connectShim({ dir, token, deadlineMs: 45_000 })
const { pid } = await shim.request('create', {})
await shim.request('start', {})
console.log(JSON.stringify({ zygote: zygote.pid, shim: shim.pid, pid }))
setInterval(() => {}, 60_000)
