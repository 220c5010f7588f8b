import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { check } from './contestant.js';
import { HttpClient } from './http-client.js';
import type { Progress } from './progress.js';
import { ServerProcess } from './server-process.js';
import { median } from './statistics.js';

const STARTS = 15;
const empty = fileURLToPath(new URL('empty-application.mjs', import.meta.url));

/** Milliseconds from the start of the process to its first answer, and bytes that it holds when idle. */
export interface StartResults {
  /** Our server, built, with SQLite: a database that is there. */
  ours: number;
  /** The same where the database has to be made first. */
  first: number;
  /** An empty Nest application. */
  empty: number;
  /** Seconds after the start at which was looked what it holds. */
  rests: readonly number[];
  /** In the order of `rests`. */
  idle: readonly (number | undefined)[];
  idleEmpty: readonly (number | undefined)[];
}

/** Starts our server on SQLite and an empty Nest application, in turns. */
export async function start(progress: Progress, rests: readonly number[]): Promise<StartResults> {
  const folder = mkdtempSync(join(tmpdir(), 'room-keys-bench-'));
  const ours = (file: string) => async () => {
    const server = await ServerProcess.start({
      DATABASE_URL: `sqlite:${join(folder, file)}`,
      DEV_TOKENS: 'token=@bench:hs1',
    });
    const client = new HttpClient(server.url, 'token');
    const { status } = await client.send('GET', '/version');
    client.close();
    check(status === 404, () => `status ${status} of a server without a backup`);
    return server;
  };
  const nest = async () => {
    const server = await ServerProcess.run([empty]);
    const response = await fetch(server.url);
    check((await response.text()) === '{"hello":"world"}', () => 'the empty application');
    return server;
  };
  const times = { ours: [] as number[], first: [] as number[], empty: [] as number[] };
  await timed(ours('again.db'));
  const tick = progress.phase('start', STARTS);
  for (let n = 0; n < STARTS; n++) {
    times.empty.push(await timed(nest));
    times.ours.push(await timed(ours('again.db')));
    times.first.push(await timed(ours(`first-${n}.db`)));
    tick();
  }
  const results = {
    ours: median(times.ours),
    first: median(times.first),
    empty: median(times.empty),
    rests,
    idle: await idle(ours('again.db'), rests),
    idleEmpty: await idle(nest, rests),
  };
  rmSync(folder, { recursive: true });
  return results;
}

async function timed(launch: () => Promise<ServerProcess>): Promise<number> {
  const begun = performance.now();
  const server = await launch();
  const ms = performance.now() - begun;
  await server.stop();
  return ms;
}

async function idle(
  launch: () => Promise<ServerProcess>,
  rests: readonly number[],
): Promise<(number | undefined)[]> {
  const server = await launch();
  const bytes: (number | undefined)[] = [];
  let waited = 0;
  for (const seconds of rests) {
    await sleep((seconds - waited) * 1000);
    waited = seconds;
    bytes.push(server.residentBytes());
  }
  await server.stop();
  return bytes;
}
