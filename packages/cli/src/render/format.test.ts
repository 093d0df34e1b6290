import { describe, expect, it } from 'vitest'

import { format } from './format.ts'

const data = {
  Name: 'web',
  Ports: ['80', '81'],
  State: { Running: true, Pid: 7 },
  Labels: { b: '2', a: '1' },
  Empty: [],
  List: [{ Port: 80 }, { Port: 90 }],
}

describe('format', () => {
  it.each([
    ['json', JSON.stringify(data)],
    ['{{.Name}}\\t{{.State.Pid}}', 'web\t7'],
    ['{{json .Ports}}', '["80","81"]'],
    ['{{join .Ports ","}}', '80,81'],
    ['{{range .Ports}}<{{.}}>{{end}}', '<80><81>'],
    ['{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}', 'a=1;b=2;'],
    ['{{if .State.Running}}up{{else}}down{{end}}', 'up'],
    ['{{if .Empty}}some{{else}}none{{end}}', 'none'],
    ['{{with .State}}{{.Pid}} of {{$.Name}}{{end}}', '7 of web'],
    ['{{index .Labels "a"}} {{len .Ports}} {{.Name | upper}}', '1 2 WEB'],
    ['{{eq .Name "web"}} {{.Nothing}}', 'true <no value>'],
    ['{{.Ports}} {{.Labels}}', '[80 81] map[b:2 a:1]'],
    ['a {{- .Name -}} b', 'awebb'],
    ['{{println (index .Ports 0)}}', '80\n'],
    ['{{(index .List 1).Port}}', '90'],
  ])('%s', (template, expected) => {
    expect(format(template, data)).toBe(expected)
  })
  it.each([
    ['{{.Name', 'unclosed action'],
    ['{{range .Ports}}x', 'has no {{end}}'],
    ['{{frobnicate .Name}}', 'function "frobnicate" is not known'],
    ['{{.Name.First}}', "can't evaluate field First"],
    ['{{end}}', 'unexpected {{end}}'],
  ])('refuses %s', (template, message) => {
    expect(() => format(template, data)).toThrow(message)
  })
})
