import { describe, expect, it } from 'vitest'
import { parseCreate } from './container-create.ts'

const minimal = { Image: 'busybox' }

function failure(body: unknown): { code: string; message: string; details?: { field?: string } } {
  try {
    parseCreate(body)
  } catch (error) {
    return error as never
  }
  throw new Error('was accepted')
}

describe('parseCreate', () => {
  it("fills in Docker's defaults for an image alone", () => {
    const { config, host, networking } = parseCreate(minimal)
    expect(config).toMatchObject({
      Image: 'busybox',
      Cmd: null,
      Entrypoint: null,
      Env: [],
      Tty: false,
      User: '',
    })
    expect('StopSignal' in config).toBe(false)
    expect(host).toMatchObject({
      NetworkMode: 'bridge',
      ShmSize: 67_108_864,
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
      LogConfig: { Type: 'json-file', Config: {} },
      Binds: [],
      MaskedPaths: null,
      PidsLimit: null,
      ConsoleSize: [0, 0],
    })
    expect(networking).toEqual({ EndpointsConfig: {} })
  })

  it('takes null for the zero value everywhere, as Go clients send it', () => {
    const nulls = {
      Cmd: null,
      Env: null,
      Labels: null,
      Volumes: null,
      Entrypoint: null,
      StopTimeout: null,
      OnBuild: null,
    }
    const host = {
      Binds: null,
      PortBindings: null,
      Mounts: null,
      Devices: null,
      Init: null,
      Links: null,
      LogConfig: null,
    }
    const endpoint = { IPAMConfig: null, Aliases: null, Links: null, DriverOpts: null }
    const parsed = parseCreate({
      ...minimal,
      ...nulls,
      HostConfig: host,
      NetworkingConfig: { EndpointsConfig: { bridge: endpoint, other: null } },
    })
    expect(parsed.config.Env).toEqual([])
    expect(parsed.host.PortBindings).toEqual({})
  })

  it("takes a field's name in any mix of capitals, as Go does, and leaves the keys of maps alone", () => {
    const body = {
      image: 'x',
      CMD: ['a'],
      labels: { Key: '1', key: '2' },
      hostconfig: {
        privileged: true,
        portbindings: { '80/tcp': [{ hostip: '127.0.0.1', hostport: '1' }] },
        mounts: [{ type: 'bind', source: '/a', target: '/b', bindoptions: { nonrecursive: true } }],
      },
      networkingconfig: { endpointsconfig: { bridge: { macaddress: '02:00:00:00:00:01' } } },
    }
    expect(parseCreate(body)).toMatchObject({
      config: { Image: 'x', Cmd: ['a'], Labels: { Key: '1', key: '2' } },
      host: {
        Privileged: true,
        PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '1' }] },
        Mounts: [{ Type: 'bind', Source: '/a', Target: '/b', BindOptions: { NonRecursive: true } }],
      },
      networking: { EndpointsConfig: { bridge: { MacAddress: '02:00:00:00:00:01' } } },
    })
  })

  it("shows null for limits that docker's command sends where nobody asked for any", () => {
    const { host } = parseCreate({ ...minimal, HostConfig: { MemorySwappiness: -1, PidsLimit: 0 } })
    expect(host).toMatchObject({ MemorySwappiness: null, PidsLimit: null })
  })

  it('takes a command as one string or as a list', () => {
    expect(parseCreate({ ...minimal, Cmd: 'ls', Entrypoint: ['sh', '-c'] }).config).toMatchObject({
      Cmd: ['ls'],
      Entrypoint: ['sh', '-c'],
    })
  })

  it('keeps dangerous keys as plain data', () => {
    const { config } = parseCreate(
      JSON.parse(
        '{"Image":"x","Labels":{"__proto__":"a","constructor":"b"},"__proto__":{"Tty":true},"HostConfig":{"__proto__":{"Privileged":true}}}',
      ),
    )
    expect(Object.entries(config.Labels)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
    expect(config.Tty).toBe(false)
    expect(({} as { Tty?: boolean }).Tty).toBeUndefined()
    expect(
      parseCreate(JSON.parse('{"Image":"x","HostConfig":{"__proto__":{"Privileged":true}}}')).host.Privileged,
    ).toBe(false)
  })

  it('gives out a frozen request', () => {
    const { config } = parseCreate({ ...minimal, Env: ['A=1'] })
    expect(() => config.Env.push('B=2')).toThrow()
  })

  it('ignores fields that Docker does not know either', () => {
    expect(() => parseCreate({ ...minimal, NoSuchField: 1, HostConfig: { NorThis: true } })).not.toThrow()
  })

  it.each([
    [{ Env: [1] }, 'Env.0: expected a string'],
    [{ Env: ['A=\0'] }, 'Env.0: contains a NUL byte'],
    [{ Tty: 'yes' }, 'Tty: expected true or false'],
    [{ HostConfig: { Memory: '1g' } }, 'HostConfig.Memory: expected a number'],
    [{ HostConfig: { Memory: 1.5 } }, 'HostConfig.Memory: expected a whole number'],
    [{ HostConfig: { Memory: 2 ** 60 } }, 'HostConfig.Memory: expected a whole number'],
    [{ HostConfig: { Binds: 'a:b' } }, 'HostConfig.Binds: expected a list'],
    [
      { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 80 }] } } },
      '80/tcp: 0.HostPort: expected a string',
    ],
    [{ HostConfig: { PortBindings: { '0/tcp': [] } } }, 'invalid port specification: "0/tcp"'],
    [{ ExposedPorts: { '80/icmp': {} } }, 'invalid port specification: "80/icmp"'],
    [
      { HostConfig: { Mounts: [{ Type: 'magic', Target: '/x' }] } },
      'invalid mount config for type "magic": mount type unknown',
    ],
    [{ HostConfig: { Runtime: 'runsc' } }, 'unknown runtime specified runsc'],
    [{ HostConfig: [] }, 'HostConfig: expected an object'],
    [
      { NetworkingConfig: { EndpointsConfig: { n: [] } } },
      'NetworkingConfig.EndpointsConfig.n: expected an object',
    ],
  ])('refuses %j with 400 and names the place', (more, message) => {
    const error = failure({ ...minimal, ...more })
    expect(error.code).toBe('HF_BAD_REQUEST')
    expect(error.message).toContain(message)
  })

  it.each([
    [{ HostConfig: { DeviceRequests: [{ Count: -1 }] } }, 'HostConfig.DeviceRequests'],
    [{ HostConfig: { Links: ['a:b'] } }, 'HostConfig.Links'],
    [{ healthcheck: { Test: ['CMD', 'true'] } }, 'Healthcheck'],
    [{ hostconfig: { storageopt: { size: '1G' } } }, 'HostConfig.StorageOpt'],
    [{ HostConfig: { StorageOpt: { size: '1G' } } }, 'HostConfig.StorageOpt'],
    [{ HostConfig: { Mounts: [{ Type: 'image', Target: '/x' }] } }, 'HostConfig.Mounts.0.Type'],
    [{ Healthcheck: { Test: ['CMD', 'true'] } }, 'Healthcheck'],
    [{ NetworkDisabled: true }, 'NetworkDisabled'],
    [
      { NetworkingConfig: { EndpointsConfig: { n: { Links: ['a'] } } } },
      'NetworkingConfig.EndpointsConfig.n.Links',
    ],
  ])('refuses %j by name: it cannot be honoured', (more, field) => {
    expect(failure({ ...minimal, ...more })).toMatchObject({ code: 'HF_UNSUPPORTED', details: { field } })
  })

  it('accepts the same fields where their value asks for nothing', () => {
    const harmless = {
      Links: [],
      Runtime: '',
      StorageOpt: {},
      DeviceRequests: [],
      CpuCount: 0,
      Isolation: 'default',
    }
    expect(() =>
      parseCreate({ ...minimal, Healthcheck: { Test: ['NONE'] }, HostConfig: harmless }),
    ).not.toThrow()
    expect(failure({ ...minimal, HostConfig: { Isolation: 'hyperv' } }).code).toBe('HF_BAD_REQUEST')
  })

  it('takes one capability for a list of one, and keeps what only inspect shows', () => {
    const HostConfig = { CapAdd: 'NET_ADMIN', CapDrop: null, Isolation: 'default', ContainerIDFile: '/id' }
    expect(parseCreate({ ...minimal, HostConfig }).host).toMatchObject({
      ...HostConfig,
      CapAdd: ['NET_ADMIN'],
      CapDrop: [],
    })
  })
})
