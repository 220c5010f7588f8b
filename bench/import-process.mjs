// Does one thing in a process of its own, so that its peak of memory is its own:
//   node import-process.mjs import|verify DATABASE-URL KEYS [SOURCE-URL]
// and reports to the bench, which knows the expected number of keys, the time and the memory that it took.
import { performance } from 'node:perf_hooks';
import { DataSource } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations } from '../dist/index.js';
import { RoomKeysMaintenance, RoomKeysTransfer } from '../dist/operations/index.js';

const [what, url, , source] = process.argv.slice(2);
const dataSource = await new DataSource({
  type: 'mysql',
  url,
  charset: 'utf8mb4',
  entities: roomKeysEntities('mysql'),
  migrations: roomKeysMigrations,
  migrationsRun: true,
}).initialize();
const begun = performance.now();
let keys = 0;
if (what === 'import') {
  const result = await new RoomKeysTransfer(dataSource).importHomeserver('synapse', source);
  if (Object.keys(result.issues).length > 0) throw new Error(JSON.stringify(result.issues));
  keys = result.verified.keys;
} else {
  const findings = new RoomKeysMaintenance(dataSource).verify({
    onProgress: (state) => (keys = state.keys),
  });
  for await (const finding of findings) throw new Error(finding.message);
}
const ms = performance.now() - begun;
await dataSource.destroy();
process.send({ ms, keys, peak: process.resourceUsage().maxRSS * 1024 });
process.disconnect();
