/** An engine event in Docker's shape (Engine API, `EventMessage`). */
export interface EngineEvent {
  Type: 'container' | 'image' | 'network' | 'volume' | 'builder'
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  scope: 'local'
  /** Seconds and nanoseconds since the epoch. */
  time: number
  timeNano: bigint
}

/** Which events. */
export interface EventFilter {
  /** Nanoseconds since the epoch. */
  since?: bigint
  until?: bigint
  matches(event: EngineEvent): boolean
}
