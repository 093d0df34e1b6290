import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const applets = [
  'sh',
  'ash',
  'cat',
  'echo',
  'true',
  'false',
  'sleep',
  'ls',
  'id',
  'ps',
  'env',
  'pwd',
  'mount',
  'umount',
  'mkdir',
  'rm',
  'rmdir',
  'touch',
  'chmod',
  'chown',
  'ln',
  'cp',
  'mv',
  'stat',
  'readlink',
  'head',
  'tail',
  'wc',
  'seq',
  'yes',
  'dd',
  'grep',
  'sed',
  'awk',
  'tr',
  'sort',
  'cut',
  'date',
  'hostname',
  'ip',
  'ifconfig',
  'ping',
  'nc',
  'wget',
  'httpd',
  'nslookup',
  'kill',
  'trap',
  'mknod',
  'mkfifo',
  'df',
  'du',
  'find',
  'test',
  'tty',
  'stty',
  'uname',
  'whoami',
  'usleep',
  'timeout',
  'printf',
  'od',
  'hexdump',
  'md5sum',
  'nproc',
  'free',
  'top',
  'sysctl',
  'unshare',
  'nsenter',
]

/** A root file system with Debian's static busybox, two users and a few groups: enough to work in. */
export function makeBusyboxRootfs(directory: string): void {
  for (const name of ['bin', 'etc', 'root', 'home/user', 'tmp', 'var/tmp', 'www']) {
    mkdirSync(join(directory, name), { recursive: true })
  }
  chmodSync(directory, 0o755)
  chmodSync(join(directory, 'tmp'), 0o1777)
  copyFileSync('/bin/busybox', join(directory, 'bin/busybox'))
  chmodSync(join(directory, 'bin/busybox'), 0o755)
  for (const applet of applets) symlinkSync('busybox', join(directory, 'bin', applet))
  writeFileSync(
    join(directory, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n',
  )
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\nwheel:x:10:user\nuser:x:1000:\nnogroup:x:65534:\n')
  writeFileSync(join(directory, 'www/index.html'), 'it works\n')
}

/** The same as a tar archive, owned by root. */
export function busyboxTar(scratch: string): Buffer {
  const directory = join(scratch, 'rootfs')
  mkdirSync(directory)
  makeBusyboxRootfs(directory)
  return execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-C', directory, '-c', '.'], {
    maxBuffer: 64 << 20,
  })
}
