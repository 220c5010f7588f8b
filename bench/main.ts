/** `npm run bench`: measures the server against the bare database and against another homeserver. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { compare } from './compare.stage.js';
import { CROWD, crowd } from './crowd.stage.js';
import { createDatabase } from './database.js';
import { delay } from './delay.stage.js';
import { Homeserver } from './homeserver.js';
import { large } from './large.stage.js';
import { NEIGHBOURS, neighbours } from './neighbours.stage.js';
import { readOptions } from './options.js';
import { plot } from './plot.js';
import { Progress } from './progress.js';
import { report } from './report.js';
import type { Results } from './results.js';
import type { Run } from './run.js';
import { ServerProcess } from './server-process.js';
import { start } from './start.stage.js';
import { USERS, users } from './users.stage.js';
import { warmUp } from './warm-up.js';

const options = readOptions(process.argv.slice(2));
const progress = new Progress();
const database = await createDatabase(options.database);
const results: Results = {
  machine: {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? '',
    node: process.versions.node,
    date: new Date().toISOString().slice(0, 10),
  },
  database: database.description,
  workers: options.workers,
  warmUp: options.warmUp,
  peer: options.peer?.url,
  keys: options.keys,
  phases: [],
  restores: undefined,
  large: undefined,
  neighbours: undefined,
  start: undefined,
};

/**
 * Seconds after its start at which is looked what the server holds. At first what the start leaves behind is
 * still there; V8 gives it back when there was nothing to do for 100 seconds.
 */
const rests = [3, options.rest];

const tokens = Array.from({ length: Math.max(CROWD, USERS) }, (_, n) => `token-${n}`);
const settings = {
  DATABASE_URL: database.url,
  WORKERS: String(options.workers),
  DEV_TOKENS: tokens.map((token, n) => `${token}=@bench${n}:hs1`).join(),
};
const nodeOptions =
  options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
let server = await ServerProcess.start(settings, nodeOptions);
const databaseBefore =
  options.before === undefined ? undefined : await createDatabase(options.database, '_before');
const startBefore = (change = (url: URL) => url) =>
  databaseBefore &&
  ServerProcess.start(
    { ...settings, DATABASE_URL: change(new URL(databaseBefore.url)).href },
    [],
    options.before,
  );
const serverBefore = await startBefore();
const { url } = server;

const ours = new Homeserver('ours', url, tokens);
const before = serverBefore && new Homeserver('before', serverBefore.url, tokens);
const floor = await database.floor();
const peer = options.peer && new Homeserver('peer', options.peer.url, options.peer.tokens);
const runWith = (other: Homeserver | undefined): Run => ({
  database,
  get server() {
    return server;
  },
  restart: async (changes) => {
    await server.stop();
    server = await ServerProcess.start(
      { ...settings, ...changes, PORT: new URL(url).port },
      nodeOptions,
    );
  },
  cpuOf: (name) =>
    (name === 'before' ? serverBefore : name === 'ours' ? server : undefined)?.cpuMs(),
  ours,
  before,
  floor,
  peer: other,
  progress,
  phases: results.phases,
});
const run = runWith(peer);

/** Leaves the peer out where it has too few users. */
function withPeerOf(users: number): Run {
  if ((options.peer?.tokens.length ?? users) >= users) return run;
  process.stderr.write(`The peer has no ${users} users, and is left out here.\n`);
  return runWith(undefined);
}

try {
  const { stages } = options;
  if (stages.some((stage) => stage !== 'start')) await warmUp(run, options.warmUp);
  if (stages.includes('compare')) results.restores = await compare(run, options.keys);
  if (stages.includes('crowd')) {
    await crowd(withPeerOf(CROWD), options.keys / 10);
  }
  if (stages.includes('delay') && options.database.protocol !== 'sqlite:') {
    await delay(run, tokens, async (change) => {
      const changed = { ...settings, DATABASE_URL: change(new URL(database.url)).href };
      const old = await startBefore(change);
      return { ours: await ServerProcess.start(changed), ...(old && { before: old }) };
    });
  }
  if (stages.includes('large')) {
    results.large = await large(run, options.large, options.peerLarge, rests);
  }
  if (stages.includes('neighbours')) {
    const { warmUp: seconds, neighbours: sizes } = options;
    results.neighbours = await neighbours(withPeerOf(NEIGHBOURS), sizes, seconds);
  }
  if (stages.includes('users')) await users(run, options.usersKeys, options.rest);
  if (stages.includes('start')) results.start = await start(progress, rests);
} finally {
  for (const contestant of [ours, before, floor, peer]) await contestant?.close();
  for (const one of [server, serverBefore]) await one?.stop();
  for (const one of [database, databaseBefore]) await one?.drop();
}

process.stdout.write(report(results));
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`);
}
if (options.plot !== undefined && results.large)
  writeFileSync(options.plot, plot(results.large, options.peer?.name));
