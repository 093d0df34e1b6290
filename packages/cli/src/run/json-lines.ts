/** The values of a stream of JSON lines (events, progress), each as soon as its line has come. */
export async function* jsonLines<T>(stream: AsyncIterable<unknown>): AsyncGenerator<T> {
  let pending = ''
  for await (const chunk of stream) {
    const lines = (pending + String(chunk)).split('\n')
    pending = lines.pop() ?? ''
    yield* parsed<T>(lines)
  }
  yield* parsed<T>([pending])
}

function parsed<T>(lines: string[]): T[] {
  return lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as T)
}
