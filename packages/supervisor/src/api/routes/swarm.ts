import type { Call, Method, Route } from '../route.ts'

const notManager =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm ' +
  'and try again.'

const methods: Method[] = ['GET', 'POST', 'DELETE']
const resources = ['swarm', 'nodes', 'services', 'tasks', 'secrets', 'configs']

/** There is no swarm here, and the answers are those of an engine outside of one. */
export const swarmRoutes: Route[] = [
  {
    method: 'POST',
    path: '/swarm/leave',
    handle: (call) => call.send(503, { message: 'This node is not part of a swarm' }),
  },
  { method: 'POST', path: '/swarm/init', handle: refuseSwarm },
  { method: 'POST', path: '/swarm/join', handle: refuseSwarm },
  ...resources.flatMap((resource) =>
    methods.flatMap((method): Route[] => [
      { method, path: `/${resource}`, handle: refuseManager },
      { method, path: `/${resource}/{rest*}`, handle: refuseManager },
    ]),
  ),
]

function refuseManager(call: Call): void {
  call.send(503, { message: notManager })
}

function refuseSwarm(call: Call): void {
  call.send(501, { message: 'Holdfast has no swarm mode', code: 'HF_UNSUPPORTED' })
}
