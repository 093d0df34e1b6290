import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readFileSync, readlinkSync } from 'node:fs'
import { exec } from './ask.ts'
import { World, type Running } from './world.ts'

const cpus = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]!

describe.skipIf(process.getuid?.() !== 0)('an exec', () => {
  let world: World
  let run: Running
  beforeAll(async () => {
    world = await World.open()
    run = await world.run({
      args: ['sh', '-c', 'cat /proc/keys; sleep 1000'],
      config: (config) => {
        config['process'].user = { uid: 33, gid: 34 }
        config['process'].scheduler = { policy: 'SCHED_BATCH', nice: 3 }
        config['process'].ioPriority = { class: 'IOPRIO_CLASS_IDLE' }
        config['process'].execCPUAffinity = { initial: '0', final: '0' }
      },
    })
    await run.createAndStart()
  })
  afterAll(async () => {
    await run.delete()
    await world.close()
  })

  it("is in the container's cgroups, and sees them as it does", async () => {
    const { output } = await exec(run, 'cgroups', [
      'sh',
      '-c',
      'readlink /proc/self/ns/cgroup; cat /proc/self/cgroup',
    ])
    const { pid } = await run.client.request('state', {})
    expect(output).toContain(`${readlinkSync(`/proc/${pid}/ns/cgroup`)}\n`)
    const paths = [...output.matchAll(/^\d+:.*?:(.*)$/gm)].map(([, path]) => path)
    expect(paths.length).toBeGreaterThan(0)
    expect(new Set(paths)).toEqual(new Set(['/']))
  })

  it("has the container's session keyring, and nobody else's", async () => {
    const name = `_ses.${run.bundle.spec.id}`
    const keyrings = (text: string) =>
      text
        .split('\n')
        .filter((line) => line.includes('_ses.'))
        .map((line) => line.slice(0, 8))
    const { output } = await exec(run, 'keys', ['cat', '/proc/keys'])
    expect(output).toContain(name)
    expect(keyrings(output)).toHaveLength(1) // a user sees those that it possesses
    expect(keyrings(output)).toEqual(keyrings(run.log()))
  })

  it("has the container's scheduling, and the CPUs of its own", async () => {
    const script = 'cut -d" " -f19,41 /proc/self/stat; ionice -p $$; grep Cpus_allowed_list /proc/self/status'
    const { output } = await exec(run, 'nice', ['sh', '-c', script])
    expect(output).toMatch(/^3 3\nidle[^\n]*\nCpus_allowed_list:\t0\n$/)
    expect(readFileSync(`/proc/${(await run.client.request('state', {})).pid}/status`, 'utf8')).toContain(
      `Cpus_allowed_list:\t${cpus}\n`,
    )
  })

  it.each([
    ['user', { user: 'nosuch' }, 'unable to find user nosuch: no matching entries in passwd file'],
    [
      'working directory',
      { cwd: '/nosuch' },
      'chdir to cwd ("/nosuch") set in config.json failed: no such file or directory',
    ],
    ['directory that is a file', { cwd: '/etc/passwd' }, 'failed: not a directory'],
  ])('could not be executed (126) where the container has no such %s', async (name, extras, message) => {
    const execId = name.replaceAll(' ', '-')
    await expect(exec(run, execId, ['true'], extras)).rejects.toMatchObject({
      code: 'HF_COMMAND_NOT_EXECUTABLE',
      message: expect.stringContaining(message),
    })
    const { execs } = await run.client.request('state', {})
    expect(execs.find(({ id }) => id === execId)?.exit).toMatchObject({ exitCode: 126 })
  })
})
