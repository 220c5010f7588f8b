import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '../../..');
/** What `npx room-keys-server` runs in a checkout. */
export const main = join(root, 'server/bin/room-keys-server.js');

/** Builds what the commands run from. */
export async function buildCommands(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'scripts/build-if-needed.mjs')], {
    cwd: root,
  });
}

/** What a command left behind when it ended. */
export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

/** A command that runs. */
export interface RunningCommand {
  child: ChildProcess;
  /** What it has printed so far. */
  output: { out: string; err: string };
  ended: Promise<Outcome>;
}

/**
 * Starts a command as an operator would: a process of its own, with nothing else in its environment.
 *
 * @param input what it reads from stdin
 * @param uid whose process it is, if not this user's
 */
export function startCommand(
  args: readonly string[],
  variables: Record<string, string> = {},
  cwd: string = root,
  input?: string,
  uid?: number,
): RunningCommand {
  const { PATH } = process.env;
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    ...(uid !== undefined && { uid, gid: uid }),
    env: { ...(PATH === undefined ? {} : { PATH }), ...variables },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.end(input);
  const output = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.err += text));
  const ended = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    ...output,
  }));
  return { child, output, ended };
}

/** Runs a command to its end. */
export function command(
  args: readonly string[],
  variables: Record<string, string> = {},
  cwd?: string,
): Promise<Outcome> {
  return startCommand(args, variables, cwd).ended;
}
