export * from './plan.ts'
export * from './step.ts'
export * from './user.ts'
// The plan helper adds: parseConfig, planContainer(config, options): ContainerPlan,
// planExec(process, options): ExecPlan, explain(plan): string.
