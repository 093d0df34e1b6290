import type { Route } from '../route.ts'
import { attachRoutes } from './attach.ts'
import { containerRoutes } from './containers.ts'
import { emptyNameRoutes } from './empty-name.ts'
import { eventRoutes } from './events.ts'
import { execRoutes } from './exec.ts'
import { holdfastRoutes } from './holdfast.ts'
import { imageTransferRoutes } from './image-transfer.ts'
import { imageRoutes } from './images.ts'
import { lifecycleRoutes } from './lifecycle.ts'
import { logRoutes } from './logs.ts'
import { networkRoutes } from './networks.ts'
import { notBuiltRoutes } from './not-built.ts'
import { swarmRoutes } from './swarm.ts'
import { systemRoutes } from './system.ts'
import { topRoutes } from './top.ts'
import { volumeRoutes } from './volumes.ts'

export const allRoutes: readonly Route[] = [
  ...systemRoutes,
  ...eventRoutes,
  ...containerRoutes,
  ...lifecycleRoutes,
  ...logRoutes,
  ...attachRoutes,
  ...execRoutes,
  ...topRoutes,
  ...imageTransferRoutes,
  ...imageRoutes,
  ...networkRoutes,
  ...volumeRoutes,
  ...emptyNameRoutes,
  ...swarmRoutes,
  ...holdfastRoutes,
  ...notBuiltRoutes,
]
