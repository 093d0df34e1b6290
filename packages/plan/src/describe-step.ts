import { attributes, call, device, keyValues, octal, propagation, quote, tree } from './describe-parts.ts'
import type { Step } from './step.ts'

type Describe<K extends Step['do']> = { [D in K]: (step: Extract<Step, { do: D }>) => string }

/** One line, like strace's: for `hold explain`, and for the error of the step that failed. */
export function describeStep(step: Step): string {
  const describe = { ...mountSteps, ...processSteps }[step.do] as (step: Step) => string
  return describe(step)
}

type MountStep =
  | 'set-propagation'
  | 'stage-area'
  | 'stage-overlay'
  | 'stage-bind'
  | 'stage-mount'
  | 'stage-device'
  | 'stage-readonly'
  | 'enter-root'
  | 'mount'
  | 'attach'
  | 'remount'
  | 'mknod'
  | 'symlink'
  | 'mkdir'
  | 'pivot'
  | 'plant-root'
  | 'change-root'
  | 'root-attributes'
  | 'mask'
  | 'readonly-path'

/** Steps that concern the file tree. */
const mountSteps: Describe<MountStep> = {
  'set-propagation': (step) =>
    call(step.do, quote(step.path), propagation({ value: step.propagation, recursive: step.recursive })),
  'stage-area': (step) => call(step.do, quote(step.path)),
  'stage-overlay': (step) =>
    `${call(
      step.do,
      `lower=${step.lower.map(quote).join(':')}`,
      `upper=${quote(step.upper)}`,
      `work=${quote(step.work)}`,
      step.idmap && `idmap=${step.idmap}`,
      attributes(step.attributes),
      ...step.options,
      `by ${step.method}`,
    )} = ${step.as}`,
  'stage-bind': (step) =>
    `${call(
      step.do,
      quote(step.source),
      step.subdir !== undefined && `subdir=${quote(step.subdir)}`,
      step.recursive && 'recursive',
      tree(step.attributes),
      step.idmap && `${step.recursiveIdmap ? 'ridmap' : 'idmap'}=${step.idmap}`,
    )} = ${step.as}`,
  'stage-mount': (step) =>
    `${call(step.do, quote(step.type), quote(step.source), attributes(step.attributes), keyValues(step.options))} = ${step.as}`,
  'stage-device': (step) =>
    `${call(step.do, device(step.device), octal(step.mode), `${step.uid}:${step.gid}`)} = ${step.as}`,
  'stage-readonly': (step) =>
    call(
      step.do,
      step.staged,
      `owner=${step.uid}:${step.gid}`,
      step.mountPoints.length > 0 &&
        `mount-points=${step.mountPoints.map(({ path }) => quote(path)).join(':')}`,
    ),
  'enter-root': (step) => call(step.do, step.staged, step.at && `at ${quote(step.at)}`),
  mount: (step) =>
    call(
      step.do,
      quote(step.type),
      quote(step.source),
      quote(step.target),
      attributes(step.attributes),
      keyValues(step.options),
      step.copyUp && 'copy-up',
      step.keepMode && 'keep-mode',
      propagation(step.propagation),
    ),
  attach: (step) => call(step.do, step.staged, quote(step.target), propagation(step.propagation)),
  remount: (step) => call(step.do, quote(step.target), tree(step.attributes), propagation(step.propagation)),
  mknod: (step) =>
    call(step.do, quote(step.path), device(step.device), octal(step.mode), `${step.uid}:${step.gid}`),
  symlink: (step) =>
    call(step.do, quote(step.target), quote(step.path), step.ifExists && `if ${quote(step.ifExists)} exists`),
  mkdir: (step) => call(step.do, quote(step.path), octal(step.mode)),
  pivot: (step) => (step.method === 'pivot' ? call('pivot_root', '"."', '"."') : call('chroot', '"."')),
  'plant-root': (step) =>
    `${call('setns', 'mnt', step.namespace)}; ${call('attach', 'root', quote(step.at))}; ${call('chroot', '"."')}`,
  'change-root': (step) => `${call('fchdir', step.directory)}; ${call('chroot', '"."')}`,
  'root-attributes': (step) => call(step.do, attributes(step.set), propagation(step.propagation)),
  mask: (step) => call(step.do, quote(step.path)),
  'readonly-path': (step) => call(step.do, quote(step.path)),
}

/** Steps that concern the process and its namespaces. */
const processSteps: Describe<Exclude<Step['do'], MountStep>> = {
  unshare: (step) => call(step.do, ...step.namespaces),
  join: (step) => call('setns', step.namespace, step.fd),
  'join-process': (step) => call('setns', step.pidfd, ...step.namespaces),
  'become-root': () => `${call('setgroups')}; ${call('setresgid', '0')}; ${call('setresuid', '0')}`,
  'time-offsets': (step) =>
    call(
      step.do,
      step.monotonic && `monotonic=${step.monotonic.secs}s${step.monotonic.nanosecs}ns`,
      step.boottime && `boottime=${step.boottime.secs}s${step.boottime.nanosecs}ns`,
    ),
  rlimit: (step) =>
    call(
      step.raise ? 'raise-rlimit' : 'setrlimit',
      step.resource,
      !step.raise && step.soft,
      `hard=${step.hard}`,
    ),
  'oom-score-adj': (step) => call(step.do, String(step.value)),
  'security-label': (step) => call('label', step.attribute, quote(step.label)),
  scheduler: (step) =>
    call('sched_setattr', step.policy, `nice=${step.nice}`, `priority=${step.priority}`, ...step.flags),
  'io-priority': (step) => call('ioprio_set', step.class, String(step.priority)),
  'cpu-affinity': (step) => call('sched_setaffinity', step.cpus.join(',')),
  'memory-policy': (step) => call('set_mempolicy', step.mode, step.nodes.join(','), ...step.flags),
  personality: (step) => call(step.do, step.domain),
  clone: (step) => `${call('clone3', ...step.namespaces, ...step.keep.map((fd) => `keep=${fd}`))} = init`,
  'join-cgroups': (step) => call(step.do, ...step.procs),
  'new-session': () => call('setsid'),
  'session-keyring': (step) => call('keyctl_join_session_keyring', quote(step.name)),
  sync: (step) => call(step.do, step.point),
  hook: (step) => call(step.do, step.kind, step.args.map(quote).join(' ')),
  hostname: (step) => call('sethostname', quote(step.name)),
  domainname: (step) => call('setdomainname', quote(step.name)),
  'loopback-up': () => call('link-up', 'lo'),
  sysctl: (step) => call(step.do, `${step.key}=${step.value}`),
  console: (step) =>
    call(
      step.do,
      `${step.rows}x${step.columns}`,
      `uid=${step.uid}`,
      step.gid !== undefined && `gid=${step.gid}`,
      step.bind && 'at "/dev/console"',
    ),
  stdio: (step) => call(step.do, step.stdin ?? 'null', step.stdout ?? 'null', step.stderr ?? 'null'),
  umask: (step) => call(step.do, octal(step.mask)),
  'bounding-set': (step) => call(step.do, capabilities(step.keep)),
  user: (step) => call(step.do, `uid=${step.uid}`, `gid=${step.gid}`, `groups=${step.groups.join(',')}`),
  'no-new-privileges': () => call('prctl', 'PR_SET_NO_NEW_PRIVS'),
  capabilities: (step) =>
    call(
      'capset',
      `effective=${capabilities(step.effective)}`,
      `permitted=${capabilities(step.permitted)}`,
      `inheritable=${capabilities(step.inheritable)}`,
      `ambient=${capabilities(step.ambient)}`,
    ),
  seccomp: ({ profile, ...step }) =>
    call(
      step.do,
      `${profile.syscalls?.reduce((sum, rule) => sum + rule.names.length, 0) ?? 0} rules`,
      `else ${profile.defaultAction}`,
    ),
  chdir: (step) => call(step.do, quote(step.path), step.create && 'create'),
  'find-program': (step) => call(step.do, quote(step.program)),
  preserve: (step) => call(step.do, ...step.fds),
  door: () => '---- created; waits for start ----',
  exec: (step) =>
    call(
      step.init ? 'exec-with-init' : 'execve',
      step.args.map(quote).join(' '),
      `${step.env.length} variables`,
    ),
}

/** Short enough for one line: without the CAP_ that all have. */
function capabilities(names: string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => name.replace(/^CAP_/, '').toLowerCase()).join(',')
}
