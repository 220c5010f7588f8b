import { ServerProcess } from './server-process.js';
import { createDatabase } from './database.js';
import { Homeserver } from './homeserver.js';
import { KeySource, BATCH } from './keys.js';
import { connect, createServer } from 'node:net';
const [url] = process.argv.slice(2);
const db = await createDatabase(new URL(url!));
const u = new URL(db.url); let log: string[] = []; let t0 = 0;
const proxy = createServer((c) => { const d = connect(Number(u.port), u.hostname); c.on('data', (x) => { log.push(`${(performance.now()-t0).toFixed(2)} > ${x.length} ${x.subarray(5, 70).toString('latin1').replace(/[^ -~]/g,'.')}`); d.write(x); }); d.on('data', (x) => { log.push(`${(performance.now()-t0).toFixed(2)} < ${x.length}`); c.write(x); }); c.on('error',()=>d.destroy()); d.on('error',()=>c.destroy()); }).listen(0);
const via = new URL(db.url); via.host = `127.0.0.1:${(proxy.address() as any).port}`;
const s = await ServerProcess.start({ DATABASE_URL: via.href, DEV_TOKENS: 't=@u:hs1' });
const hs = new Homeserver('ours', s.url, ['t']); const source = new KeySource('rt');
const b = await hs.createBackup(0);
for (let k = 0; k < 5; k++) await b.store(source.batch(k * BATCH), 'added');
for (const [name, work] of Object.entries({ version: () => b.readInformation(), up: () => b.store(source.batch(700), 'added'), one: () => b.readKey(source.key(5)), create: () => hs.createBackup(0) })) { log = []; t0 = performance.now(); const ms = await (work as any)(); console.log(name, ms); console.log(log.join('\n')); }
await hs.close(); await s.stop(); proxy.close(); await db.drop(); process.exit();
