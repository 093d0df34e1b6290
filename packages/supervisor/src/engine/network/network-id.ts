import type { EngineContext } from '../context.ts'

export type NetworkName = 'bridge' | 'none' | 'host'

/** Host and none have ids of their own, made from the bridge's. */
export function networkIdOf({ networkId }: Pick<EngineContext, 'networkId'>, network: NetworkName): string {
  const marks = { bridge: '', none: '0', host: '1' }
  return `${marks[network]}${networkId}`.slice(0, 64)
}
