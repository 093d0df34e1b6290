/** Numbers of address families (linux/socket.h) and of protocols (linux/in.h). */
export const AF_UNSPEC = 0
export const AF_INET = 2
export const AF_INET6 = 10

/** IPPROTO_. */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const
