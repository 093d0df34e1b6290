import { describe, expect, it } from 'vitest'
import { parseBind } from './mounts/binds.ts'
import { emptyConfig, emptyHostConfig } from './empty-config.ts'
import { mergeImageDefaults } from './image-defaults.ts'
import { logSpec } from './logs/log-config.ts'
import { mountRequests } from './mounts/mount-requests.ts'
import { checkName, makeName } from './names.ts'
import { chooseNamespaces } from './namespaces/namespace-modes.ts'
import { parseContainerPorts, portMappings } from './network/ports.ts'
import { parseSignal } from './signals.ts'

const config = emptyConfig()
const host = emptyHostConfig()
const none = (): never => {
  throw new Error('no containers here')
}

describe('names', () => {
  it('follow Docker’s grammar', () => {
    expect(checkName('/web-1_a.b')).toBe('web-1_a.b')
    for (const bad of ['', 'x', '-a', 'a b', 'a/b', 'ä1'])
      expect(() => checkName(bad)).toThrow('Invalid container name')
  })
  it('are made up until one is free', () => {
    expect(makeName(() => false)).toMatch(/^[a-z]+_[a-z]+$/)
    let asked = 0
    expect(makeName(() => ++asked < 10)).toMatch(/^[a-z]+_[a-z]+_[0-9a-f]{6}$/)
  })
})

describe('signals', () => {
  it('are read by name and number', () => {
    expect(['SIGTERM', 'term', '15', 'RTMIN', 'rtmin+3', 'RTMAX-1', 'CHLD'].map(parseSignal)).toEqual([
      15, 15, 15, 34, 37, 63, 17,
    ])
    for (const bad of ['', '0', '65', 'SIGNOPE', 'RTMIN+40', '-9'])
      expect(() => parseSignal(bad)).toThrow('invalid signal')
  })
})

describe('ports', () => {
  const mapped = (bindings: typeof host.PortBindings) =>
    portMappings(config, { ...host, PortBindings: bindings }, [])

  it('are mapped one to one, by range, or to a random one', () => {
    expect(mapped({ '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }] })).toEqual([
      { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '127.0.0.1' },
    ])
    expect(mapped({ '53/udp': [{ HostIp: '', HostPort: '' }] })).toEqual([
      { protocol: 'udp', containerPort: 53, hostPort: 0 },
    ])
    expect(mapped({ '80/tcp': [{ HostIp: '', HostPort: '8000-8010' }] })).toEqual([
      { protocol: 'tcp', containerPort: 80, hostPort: 8000, hostPortEnd: 8010 },
    ])
    expect(
      mapped({ '80-81/tcp': [{ HostIp: '', HostPort: '90-91' }] }).map(({ hostPort }) => hostPort),
    ).toEqual([90, 91])
  })
  it('are refused where they make no sense', () => {
    for (const bad of ['0/tcp', '70000/tcp', '80/icmp', 'http/tcp', '81-80/tcp'])
      expect(() => parseContainerPorts(bad)).toThrow('Invalid port')
    expect(() => mapped({ '80/tcp': [{ HostIp: 'nowhere', HostPort: '1' }] })).toThrow(
      'invalid IP address: nowhere',
    )
  })
  it('of EXPOSE are published with -P', () => {
    const exposing = { ...config, ExposedPorts: { '80/tcp': {}, '81/tcp': {} } }
    const published = portMappings(
      exposing,
      { ...host, PublishAllPorts: true, PortBindings: { '81/tcp': [{ HostIp: '', HostPort: '9' }] } },
      [],
    )
    expect(published.map(({ containerPort, hostPort }) => [containerPort, hostPort])).toEqual([
      [81, 9],
      [80, 0],
    ])
  })
})

describe('binds', () => {
  it('tell directories from volumes, and read options', () => {
    expect(parseBind('/a/../b:/c:ro,rslave')).toMatchObject({
      type: 'bind',
      source: '/b',
      destination: '/c',
      readonly: true,
      propagation: 'rslave',
      createSource: true,
    })
    expect(parseBind('data:/c:nocopy,z')).toMatchObject({
      type: 'volume',
      source: 'data',
      noCopy: true,
      anonymous: false,
    })
    expect(parseBind('/only')).toMatchObject({
      type: 'volume',
      source: '',
      destination: '/only',
      anonymous: true,
    })
  })
  it('are refused in words that name the fault', () => {
    expect(() => parseBind('a:b:c:d')).toThrow('invalid volume specification')
    expect(() => parseBind('/a:/')).toThrow("destination can't be '/'")
    expect(() => parseBind('/a:b')).toThrow('mount path must be absolute')
    expect(() => parseBind('/a:/b:rx')).toThrow('invalid mode: rx')
    expect(() => parseBind('./a:/b')).toThrow('includes invalid characters for a local volume name')
    expect(() => parseBind('/a:/b:ro,rw')).toThrow('invalid mode')
  })
  it('win over volumes of the image at the same place', () => {
    const requests = mountRequests(
      { ...config, Volumes: { '/data': {}, '/x': {} } },
      { ...host, Binds: ['/src:/data'] },
      none,
    )
    expect(requests.map(({ type, destination }) => [type, destination])).toEqual([
      ['bind', '/data'],
      ['volume', '/x'],
    ])
    expect(() => mountRequests(config, { ...host, Binds: ['/a:/d', '/b:/d'] }, none)).toThrow(
      'Duplicate mount point: /d',
    )
  })
})

describe('the image’s defaults', () => {
  const image = {
    Env: ['A=1', 'B=2'],
    Cmd: ['serve'],
    Entrypoint: ['/entry'],
    User: 'www',
    WorkingDir: '/srv',
  }

  it('fill what the request leaves open', () => {
    expect(mergeImageDefaults({ ...config, Env: ['B=3', 'C=4'] }, image)).toMatchObject({
      Env: ['B=3', 'C=4', 'A=1'],
      Cmd: ['serve'],
      Entrypoint: ['/entry'],
      User: 'www',
      WorkingDir: '/srv',
    })
  })
  it('lose their command to an entrypoint, not to a command', () => {
    // A name alone takes the image's variable away, and stays in the configuration.
    expect(mergeImageDefaults({ ...config, Env: ['B', 'C'] }, image).Env).toEqual(['B', 'C', 'A=1'])
    expect(mergeImageDefaults({ ...config, Cmd: ['x'] }, image)).toMatchObject({
      Entrypoint: ['/entry'],
      Cmd: ['x'],
    })
    expect(mergeImageDefaults({ ...config, Entrypoint: ['/e'] }, image)).toMatchObject({
      Entrypoint: ['/e'],
      Cmd: null,
    })
    expect(mergeImageDefaults({ ...config, Entrypoint: [''], Cmd: ['x'] }, image)).toMatchObject({
      Entrypoint: [],
      Cmd: ['x'],
    })
    expect(() => mergeImageDefaults(config, {})).toThrow('no command specified')
  })
})

describe('log options', () => {
  it('are read with their units', () => {
    const log = (Config: Record<string, string>) =>
      logSpec({ ...host, LogConfig: { Type: 'json-file', Config } }, '/l')
    expect(log({ 'max-size': '10m', 'max-file': '3' })).toEqual({
      driver: 'json-file',
      path: '/l',
      maxSize: 10 * 1024 ** 2,
      maxFile: 3,
    })
    expect(() => log({ 'max-size': 'lots' })).toThrow('invalid value for max-size: lots')
    // Nothing is ever rotated then.
    expect(log({ 'max-file': '3' })).toMatchObject({ maxSize: -1, maxFile: 1 })
    expect(log({ mode: 'blocking', compress: 'false' })).toMatchObject({ maxSize: -1 })
    expect(() => log({ tag: 'x' })).toThrow(expect.objectContaining({ code: 'HF_UNSUPPORTED' }))
    expect(() => log({ nosuch: 'x' })).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
    expect(() => logSpec({ ...host, LogConfig: { Type: 'syslog', Config: {} } }, '/l')).toThrow("'syslog'")
  })
})

describe('namespaces', () => {
  const team = { name: 'team', path: '/ns/user/team' }
  const choose = (changes: Partial<typeof host>) =>
    chooseNamespaces(
      { ...host, ...changes },
      {
        findContainer: (ref) => `id-of-${ref}`,
        hasHostUsers: (id) => id === 'id-of-root',
        namespaceDirectory: '/ns',
        ownerOf: (path) => (path === '/ns/net/owned' ? team : undefined),
      },
    )

  it('are a container’s own unless asked', () => {
    const { namespaces, network } = choose({})
    expect(new Set(Object.values(namespaces).map(({ kind }) => kind))).toEqual(new Set(['own']))
    expect(network).toBe('bridge')
  })
  it('of a container that has the host’s users need no user namespace to join', () => {
    const { namespaces } = choose({ NetworkMode: 'container:root' })
    expect(namespaces).toMatchObject({ net: { kind: 'container' }, user: { kind: 'host' } })
    expect(choose({ UsernsMode: 'container:root' }).namespaces.user).toEqual({ kind: 'host' })
    expect(choose({ UsernsMode: 'container:a' }).namespaces.user).toEqual({
      kind: 'container',
      id: 'id-of-a',
    })
  })

  it('of the host imply its user namespace', () => {
    for (const changes of [
      { NetworkMode: 'host' },
      { PidMode: 'host' },
      { IpcMode: 'host' },
      { Privileged: true },
    ]) {
      expect(choose(changes).namespaces.user).toEqual({ kind: 'host' })
    }
    expect(choose({ UTSMode: 'host' }).namespaces.user).toEqual({ kind: 'own' })
    expect(choose({ NetworkMode: 'host', UsernsMode: 'private' }).namespaces.user).toEqual({ kind: 'own' })
  })
  it('of a container come with its user namespace', () => {
    const { namespaces, network } = choose({ NetworkMode: 'container:web' })
    expect(namespaces.net).toEqual({ kind: 'container', id: 'id-of-web' })
    expect(namespaces.user).toEqual({ kind: 'container', id: 'id-of-web' })
    expect(network).toBe('shared')
  })
  it('can be named, or given by path', () => {
    expect(choose({ NetworkMode: 'ns:shop' }).namespaces.net).toEqual({
      kind: 'path',
      path: '/ns/net/shop',
      name: 'shop',
    })
    expect(choose({ IpcMode: '/proc/1/ns/ipc' }).namespaces.ipc).toEqual({
      kind: 'path',
      path: '/proc/1/ns/ipc',
    })
    expect(() => choose({ PidMode: 'ns:x' })).toThrow('cannot be held once its init is gone')
    expect(() => choose({ NetworkMode: 'mynet' })).toThrow('network mynet not found')
    expect(() => choose({ IpcMode: 'nonsense' })).toThrow('invalid IpcMode: nonsense')
    expect(() => choose({ NetworkMode: 'ns:../x' })).toThrow('invalid NetworkMode')
  })
  it('with a name come with the user namespace that owns them', () => {
    expect(choose({ NetworkMode: 'ns:owned' }).namespaces.user).toEqual({ kind: 'path', ...team })
    expect(choose({ NetworkMode: 'ns:shop' }).namespaces.user).toEqual({ kind: 'own' })
    expect(choose({ NetworkMode: 'ns:owned', UsernsMode: 'host' }).namespaces.user).toEqual({ kind: 'host' })
  })
  it('of users can be larger', () => {
    expect(choose({ UsernsMode: 'auto:size=131072' })).toMatchObject({ userIds: 131_072 })
  })
})
