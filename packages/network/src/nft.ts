/** Runs `nft` (nft(8)): for the rules that a network needs once. 4 ms a call. */
import { spawn } from 'node:child_process'
import { closeFd } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { fileWith } from './input-file.ts'
import { inNetns } from './netns.ts'
import type { NftObject } from './ruleset.ts'

/** All commands as one transaction. `netns`: the host's network namespace; absent: the caller's. */
export async function nftApply(commands: string, netns?: number): Promise<void> {
  const { status, stderr } = await runNft(['-f', '-'], commands, netns)
  if (status === 0) return
  throw new HoldfastError('HF_NETWORK_FAILED', `nft refused a ruleset: ${stderr.trim()}`, {
    hint: 'The kernel needs nf_tables with nat, fib and masquerade: hold doctor says what is missing.',
  })
}

/** The objects that `nft -j list …` prints; undefined where what is asked for does not exist. */
export async function nftList(what: string[], netns?: number): Promise<NftObject[] | undefined> {
  const { status, stdout } = await runNft(['-j', 'list', ...what], '', netns)
  if (status !== 0) return undefined
  return (JSON.parse(stdout) as { nftables: NftObject[] }).nftables
}

export interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

/** Any of its commands, whatever comes of it. */
export function nftRun(args: string[], netns?: number): Promise<Outcome> {
  return runNft(args, '', netns)
}

async function runNft(args: string[], input: string, netns: number | undefined): Promise<Outcome> {
  const outcome = await runProgram('nft', args, input, netns)
  if (outcome) return outcome
  throw new HoldfastError('HF_NETWORK_FAILED', 'the program nft is missing', {
    hint: 'Install it: apt-get install nftables.',
  })
}

/**
 * Runs a program of the host's in a network namespace (absent: the caller's); undefined where there is none
 * such.
 */
export function runProgram(
  name: string,
  args: string[],
  input: string,
  netns?: number,
): Promise<Outcome | undefined> {
  return new Promise((resolve, reject) => {
    // nft may open /dev/stdin anew, which this allows, and the socket that Node would make does not.
    const stdin = fileWith(Buffer.from(input))
    // A child belongs to the namespace of the thread that forks it.
    const child = inNetns(netns, () =>
      spawn(name, args, {
        cwd: '/',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
        stdio: [stdin, 'pipe', 'pipe'],
      }),
    )
    closeFd(stdin)
    let stdout = ''
    let stderr = ''
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', (error) => (hasCode(error, 'ENOENT') ? resolve(undefined) : reject(error)))
    child.on('close', (status) => resolve({ status, stdout, stderr }))
  })
}
