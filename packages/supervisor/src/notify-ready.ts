import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * sd_notify(3), `READY=1`, where systemd asked for it. Node has no unix datagram sockets, so systemd's own program
 * sends it in our name.
 */
export async function notifyReady(environment: NodeJS.ProcessEnv = process.env): Promise<void> {
  const socket = environment['NOTIFY_SOCKET']
  if (!socket) return
  await promisify(execFile)('/usr/bin/systemd-notify', ['--ready', `--pid=${process.pid}`], {
    env: { NOTIFY_SOCKET: socket },
    timeout: 5000,
  })
}
