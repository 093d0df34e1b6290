import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { closeFd, dupCloexec, pipe2 } from '../src/descriptor.ts'
import { memfdCreate } from '../src/memfd.ts'
import { fsconfigCreate, fsmount, fsopen, fspick, openTree, OPEN_TREE_CLONE } from '../src/mount.ts'
import {
  createNamespace,
  createUserNamespace,
  namespaceOwner,
  namespaceParent,
  openNamespace,
  openNamespaceOf,
} from '../src/namespace.ts'
import { AT_FDCWD, O_PATH, openat2 } from '../src/path.ts'
import { pidfdGetfd, pidfdOpen } from '../src/pidfd.ts'
import { openPty } from '../src/pty.ts'
import {
  openNetlinkSocketIn,
  openSocketIn,
  peerPidfd,
  receiveMessage,
  sendMessage,
  socketpair,
} from '../src/socket.ts'
import { describeAsRoot } from './as-root.ts'

const O_CLOEXEC = 0o2000000

function isCloseOnExec(fd: number): boolean {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')
  return (Number.parseInt(/^flags:\s*(\d+)$/m.exec(info)![1]!, 8) & O_CLOEXEC) !== 0
}

const map = [{ containerID: 0, hostID: 0x7abc_0000, size: 1 }]

/** A descriptor of each kind that this package hands out, by the call that makes it. */
function everyKind(): Record<string, number> {
  const pipe = pipe2()
  const [left, right] = socketpair('seqpacket')
  sendMessage(left, 'x', [pipe.read])
  const userns = createUserNamespace({ uid: map, gid: map })
  const netns = createNamespace('net', userns)
  const context = fsopen('tmpfs')
  fsconfigCreate(context)
  const pty = openPty()
  const pidfd = pidfdOpen(process.pid)
  return {
    'pipe2 read': pipe.read,
    'pipe2 write': pipe.write,
    dupCloexec: dupCloexec(pipe.read, 50),
    'socketpair left': left,
    'socketpair right': right,
    receiveMessage: receiveMessage(right, 10)!.fds[0]!,
    peerPidfd: peerPidfd(left),
    memfdCreate: memfdCreate('x', Buffer.from('x'), true),
    openat2: openat2(AT_FDCWD, '/', { flags: O_PATH }),
    openTree: openTree(AT_FDCWD, '/etc', OPEN_TREE_CLONE),
    fsopen: context,
    fsmount: fsmount(context),
    fspick: fspick(AT_FDCWD, '/'),
    createUserNamespace: userns,
    createNamespace: netns,
    namespaceOwner: namespaceOwner(netns),
    namespaceParent: namespaceParent(userns),
    openNamespaceOf: openNamespaceOf(process.pid, 'uts'),
    openNamespace: openNamespace('/proc/self/ns/ipc'),
    openSocketIn: openSocketIn(netns, { family: 'inet', type: 'dgram' }),
    openNetlinkSocketIn: openNetlinkSocketIn(netns, 0),
    'openPty master': pty.master,
    'openPty peer': pty.peer,
    pidfdOpen: pidfd,
    pidfdGetfd: pidfdGetfd(pidfd, 0),
  }
}

describeAsRoot('descriptors', () => {
  const fds = process.getuid!() === 0 ? everyKind() : {}

  it.each(Object.entries(fds))('%s gives one that no program inherits', (_, fd) => {
    expect(isCloseOnExec(fd)).toBe(true)
    closeFd(fd)
  })
})
