import { HoldfastError } from '@holdfast/errors'

/** The promise's result, or HF_TIMEOUT. Every wait for something outside this process has a deadline. */
export async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new HoldfastError('HF_TIMEOUT', `${what} took longer than ${milliseconds} ms`)),
    milliseconds,
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
