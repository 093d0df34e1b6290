/** Steps that are all tried, whatever became of the ones before: for taking down what may be half there. */
export class Steps {
  readonly errors: unknown[] = []

  readonly attempt = async (step: () => Promise<unknown> | void): Promise<void> => {
    try {
      await step()
    } catch (error) {
      this.errors.push(error)
    }
  }

  /** Throws the one error, or an AggregateError of several, called `what`. */
  end(what: string): void {
    if (this.errors.length === 1) throw this.errors[0]
    if (this.errors.length > 1) {
      const reasons = this.errors.map((each) => (each instanceof Error ? each.message : String(each)))
      throw new AggregateError(this.errors, `${what}: ${reasons.join('; ')}`)
    }
  }
}
