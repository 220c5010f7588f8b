import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Contestant } from './contestant.js';
import { Homeserver } from './homeserver.js';
import { BATCH, KeySource } from './keys.js';
import { entries, interleaved, type Run, summaries } from './run.js';
import type { ServerProcess } from './server-process.js';

/** Milliseconds that a message to the database takes; its answer comes back at once. */
export const DELAY_MS = 1;
const USER = 1;
const UPLOADS = 400;

/**
 * The same work, by servers and a floor that reach the database through a network.
 *
 * @param startAt starts a server of each build that takes part, on a database that it reaches by this URL
 */
export async function delay(
  run: Run,
  tokens: readonly string[],
  startAt: (
    change: (url: URL) => URL,
  ) => Promise<Partial<Record<'ours' | 'before', ServerProcess>>>,
): Promise<void> {
  const { hostname, port } = new URL(run.database.url);
  const defaultPort = run.database.url.startsWith('postgres') ? '5432' : '3306';
  const proxy = await startProxy(hostname, port === '' ? defaultPort : port);
  const through = (url: URL) => {
    const changed = new URL(url);
    changed.host = `127.0.0.1:${proxy.port}`;
    return changed;
  };
  const servers = await startAt(through);
  const floor = await run.database.floor(through(new URL(run.database.url)));
  const homeservers = Object.entries(servers).map(
    ([name, { url }]) => new Homeserver<'ours' | 'before'>(name as 'ours', url, tokens),
  );
  const all: Contestant[] = [...homeservers, floor];
  try {
    const source = new KeySource('delay');
    const taking = await entries(all, USER);
    const cpuOf = (name: string) => servers[name as 'ours']?.cpuMs();
    const phase = async (
      id: string,
      title: string,
      count: number,
      work: (entry: (typeof taking)[number], n: number) => Promise<number>,
    ) => {
      const times = { count, slice: 20 };
      const done = await interleaved({ ...run, cpuOf }, title, taking, times, work);
      const named = `${title}, ${DELAY_MS} ms from the database`;
      run.phases.push({ id, title: named, stored: 0, ...done, times: summaries(done.times) });
    };
    await phase('delay-upload', 'upload 100 keys', UPLOADS, ({ backup }, n) =>
      backup.store(source.batch(n * BATCH), 'added'),
    );
    await phase('delay-same', 'the same 100 keys again', 100, ({ backup }, n) =>
      backup.store(source.batch(n * BATCH), 'none'),
    );
    await phase('delay-one', 'one key', 200, ({ backup }, n) =>
      backup.store([source.key(UPLOADS * BATCH + n)], 'added'),
    );
    await phase('delay-version', 'GET version', 200, ({ backup }) => backup.readInformation());
    await phase('delay-read-one', 'read one key', 200, ({ backup }, n) =>
      backup.readKey(source.key(n)),
    );
    await phase('delay-delete', 'delete all keys', 1, ({ backup }) => backup.deleteKeys());
    for (const { backup } of taking) await backup.delete();
  } finally {
    for (const one of all) await one.close();
    for (const server of Object.values(servers)) await server.stop();
    proxy.stop();
  }
}

async function startProxy(host: string, port: string): Promise<{ port: number; stop: () => void }> {
  const file = fileURLToPath(new URL('delay-proxy.mjs', import.meta.url));
  const child = spawn(process.execPath, [file, host, port, String(DELAY_MS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(text.toString()), stop: () => child.kill() };
}
