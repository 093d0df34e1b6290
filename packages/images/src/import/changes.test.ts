import { describe, expect, it } from 'vitest'
import { applyChanges } from './changes.ts'

describe('applyChanges', () => {
  it.each<[string[], object]>([
    [['CMD ["top", "-b"]'], { Cmd: ['top', '-b'] }],
    [['cmd top -b'], { Cmd: ['/bin/sh', '-c', 'top -b'] }],
    [['CMD ["not json]'], { Cmd: ['/bin/sh', '-c', '["not json]'] }],
    [['ENTRYPOINT ["/a"]'], { Entrypoint: ['/a'] }],
    [['ENV A=1 B="two words" C=a\\ b'], { Env: ['A=1', 'B=two words', 'C=a b'] }],
    [['ENV A some words  here'], { Env: ['A=some words  here'] }],
    [['ENV A=1', 'ENV B=$A-${A}-${NO:-x}-${A:+y}-\\$A', "ENV A='$B'"], { Env: ['A=$B', 'B=1-1-x-y-$A'] }],
    [['ENV A=', 'ENV B=${A:-empty} C=${A-set}'], { Env: ['A=', 'B=empty', 'C='] }],
    [['LABEL a=b "c d"="e f"', 'LABEL a=z'], { Labels: { a: 'z', 'c d': 'e f' } }],
    [['LABEL __proto__=x'], { Labels: Object.fromEntries([['__proto__', 'x']]) }],
    [
      ['EXPOSE 80 443/tcp 53/udp', 'EXPOSE 8000-8002'],
      {
        ExposedPorts: {
          '80/tcp': {},
          '443/tcp': {},
          '53/udp': {},
          '8000/tcp': {},
          '8001/tcp': {},
          '8002/tcp': {},
        },
      },
    ],
    [['VOLUME /a /b', 'VOLUME ["/c d"]'], { Volumes: { '/a': {}, '/b': {}, '/c d': {} } }],
    [['USER 1000:1000'], { User: '1000:1000' }],
    [['WORKDIR /a', 'WORKDIR b/../c'], { WorkingDir: '/a/c' }],
    [['WORKDIR /a b'], { WorkingDir: '/a b' }],
    [['STOPSIGNAL SIGRTMIN+3'], { StopSignal: 'SIGRTMIN+3' }],
    [['ONBUILD RUN x'], { OnBuild: ['RUN x'] }],
    [
      ['HEALTHCHECK --interval=1m30s --retries=3 CMD ["x"]'],
      { Healthcheck: { Interval: 90e9, Retries: 3, Test: ['CMD', 'x'] } },
    ],
    [['HEALTHCHECK CMD curl x'], { Healthcheck: { Test: ['CMD-SHELL', 'curl x'] } }],
    [['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } }],
    [['# a comment\nENV A=1 \\\n  B=2\nCMD x'], { Env: ['A=1', 'B=2'], Cmd: ['/bin/sh', '-c', 'x'] }],
  ])('applies %j', (changes, expected) => {
    expect(applyChanges({}, changes)).toEqual(expected)
  })

  it('leaves the configuration that it starts from alone', () => {
    const base = { Env: ['A=1'], Labels: { a: 'b' } }
    expect(applyChanges(base, ['ENV A=2 C=3', 'LABEL c=d'])).toEqual({
      Env: ['A=2', 'C=3'],
      Labels: { a: 'b', c: 'd' },
    })
    expect(base).toEqual({ Env: ['A=1'], Labels: { a: 'b' } })
  })

  it.each([
    ['RUN ls', 'run is not a valid change command'],
    ['FROM x', 'from is not a valid change command'],
    ['CMD', 'CMD requires at least one argument'],
    ['ENV A', 'must have two arguments'],
    ['ENV =x', 'names can not be blank'],
    ['ENV A=1 B', "can't find = in"],
    ['ENV A="x', 'matching double-quote'],
    ["ENV A='x", 'matching single-quote'],
    ['ENV A=${B', 'unsupported modifier'],
    ['ENV A=${B:-x', 'missing "}"'],
    ['ENV A=${B:?none}', 'B: none'],
    ['EXPOSE 70000', 'invalid containerPort: 70000'],
    ['EXPOSE 9-8', 'invalid containerPort: 9-8'],
    ['EXPOSE 80/icmp', 'invalid containerPort: 80/icmp'],
    ['USER a b', 'USER requires exactly one argument'],
    ['STOPSIGNAL nine?', 'invalid signal'],
    ['ONBUILD ONBUILD RUN x', 'Chaining ONBUILD'],
    ['ONBUILD FROM x', "isn't allowed as an ONBUILD trigger"],
    ['HEALTHCHECK --interval=1 CMD x', 'invalid duration'],
    ['HEALTHCHECK --interval=1us CMD x', 'less than 1ms'],
    ['HEALTHCHECK --nope=1 CMD x', 'unknown flag'],
    ['HEALTHCHECK MAYBE', 'unknown type'],
    ['VOLUME [""]', 'empty string'],
  ])('refuses %s', (change, message) => {
    expect(() => applyChanges({}, [change])).toThrow(
      expect.objectContaining({ code: 'HF_BAD_REQUEST', message: expect.stringContaining(message) }),
    )
  })
})
