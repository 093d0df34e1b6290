/** IPPROTO_ numbers. */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const
