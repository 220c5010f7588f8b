import { ServerProcess } from './server-process.js';
import { createDatabase } from './database.js';
import { Homeserver } from './homeserver.js';
import { KeySource, BATCH } from './keys.js';
const [url, kind = 'up', n = '600'] = process.argv.slice(2);
const db = await createDatabase(new URL(url!));
const s = await ServerProcess.run(
  ['--max-semi-space-size=4', '--heap-growing-percent=40', '--trace-gc', 'server/dist/main.js'],
  { DATABASE_URL: db.url, DEV_TOKENS: 't=@u:hs1' },
);
const child = (s as any).child;
let gc = '';
child.stdout.on('data', (d: any) => {
  gc += d;
});
const hs = new Homeserver('ours', s.url, ['t']);
const b = await hs.createBackup(0);
const source = new KeySource('ab');
import { readFileSync } from 'node:fs';
const st = () => {
  const t = readFileSync(`/proc/${(s as any).child.pid}/stat`, 'utf8').split(' ');
  return [Number(t[13]) * 10, Number(t[14]) * 10];
};
const [u0, s0] = st();
const c = s.cpuMs();
for (let k = 0; k < Number(n); k++)
  await b.store(
    source.batch((kind === 'same' ? k % 50 : k) * BATCH),
    kind === 'same' && k >= 50 ? 'none' : 'added',
  );
console.log('cpu per', (s.cpuMs() - c) / Number(n));
const [u1, s1] = st();
console.log('user', (u1! - u0!) / Number(n), 'sys', (s1! - s0!) / Number(n));
await hs.close();
await s.stop();
const L = gc.split('\n').filter((l) => / ms: /.test(l));
const kinds: any = {};
for (const l of L) {
  const m = / ms: ([A-Za-z() -]+?) ?\(?[\d.]*.* ([\d.]+) \/ [\d.]+ ms/.exec(l);
  const k = /Scavenge/.test(l) ? 'scavenge' : /Mark-Compact/.test(l) ? 'mark' : 'other';
  kinds[k] ??= [0, 0];
  kinds[k][0]++;
  kinds[k][1] += Number(/\)? ([\d.]+) \/ /.exec(l)?.[1] ?? 0);
}
console.log(kinds, L.slice(-6).join('\n'));
await db.drop();
