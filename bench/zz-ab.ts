// quick A/B: processor time and latency per upload and per restore, two builds in turns
import { ServerProcess } from './server-process.js';
import { createDatabase } from './database.js';
import { Homeserver } from './homeserver.js';
import { KeySource, BATCH } from './keys.js';
import { spawn } from 'node:child_process';
const [url, uploads = '300', restores = '3'] = process.argv.slice(2);
const builds = { before: '/var/tmp/before', after: '/var/tmp/wt-perf' };
const entries = [];
for (const [name, dir] of Object.entries(builds)) {
  const db = await createDatabase(new URL(url!));
  // names clash within one process
  const own = await (async () => {
    if (url!.startsWith('sqlite')) return db.url;
    return db.url;
  })();
  entries.push({ name, dir, db, url: own });
  if (!url!.startsWith('sqlite')) {
    /* share one database, other users */
  }
}
const out: any = {};
const source = new KeySource('ab');
const servers: any[] = [];
let i = 0;
for (const e of entries) {
  const token = `t${i}`;
  const s = await ServerProcess.run(
    ['--max-semi-space-size=4', '--heap-growing-percent=40', `${e.dir}/server/dist/main.js`],
    { DATABASE_URL: e.url, DEV_TOKENS: `${token}=@u${i}:hs1`, LOG_LEVEL: 'info' },
  );
  const hs = new Homeserver('ours', s.url, [token]);
  const backup = await hs.createBackup(0);
  servers.push({
    ...e,
    s,
    hs,
    backup,
    up: [] as number[],
    one: [] as number[],
    same: [] as number[],
    all: [] as number[],
    cpu: { up: 0, one: 0, same: 0, all: 0 },
  });
  i++;
}
const phase = async (
  key: 'up' | 'one' | 'same' | 'all',
  n: number,
  slice: number,
  work: (b: any, i: number) => Promise<number>,
) => {
  for (let f = 0; f < n; f += slice)
    for (const x of (f / slice) % 2 ? [...servers].reverse() : servers) {
      const c = x.s.cpuMs();
      for (let k = f; k < Math.min(n, f + slice); k++) x[key].push(await work(x.backup, k));
      x.cpu[key] += x.s.cpuMs() - c;
    }
};
const N = Number(uploads);
await phase('up', 100, 10, (b, k) => b.store(source.batch(k * BATCH), 'added'));
for (const x of servers) {
  x.up = [];
  x.cpu.up = 0;
}
await phase('up', N, 25, (b, k) => b.store(source.batch((100 + k) * BATCH), 'added'));
await phase('one', 200, 25, (b, k) => b.store([source.key((100 + N) * BATCH + k)], 'added'));
await phase('same', 200, 25, (b, k) => b.store(source.batch((k % 100) * BATCH), 'none'));
await phase('all', Number(restores), 1, async (b) => (await b.stream()).ms);
const med = (a: number[]) => a.sort((x, y) => x - y)[a.length >> 1]!;
for (const k of ['up', 'one', 'same', 'all'] as const) {
  const [a, b] = servers;
  if (!a[k].length) continue;
  const f = (x: any) => `${med(x[k]).toFixed(2)} ms, cpu ${(x.cpu[k] / x[k].length).toFixed(2)}`;
  console.log(
    k.padEnd(5),
    'before',
    f(a),
    '| after',
    f(b),
    '| ratio',
    (med(b[k]) / med(a[k])).toFixed(2),
    'cpu',
    (b.cpu[k] / b[k].length / (a.cpu[k] / a[k].length)).toFixed(2),
  );
}
for (const x of servers) {
  await x.hs.close();
  await x.s.stop();
}
await servers[0].db.drop().catch(() => {});
process.exit();
