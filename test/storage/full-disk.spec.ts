/** Proves that a full disk under SQLite costs the uploads that do not fit, and nothing else, and heals. */
import { startApplication } from '../support/application.js';
import { databases } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient } from '../support/matrix-client.js';

const { create } = databases.find(({ name }) => name === 'SQLite')!;
const upload = (client: MatrixClient, session: string) =>
  client.put(
    `${keyPath('!r:hs1', session)}?version=1`,
    keyData({ session_data: { x: 'y'.repeat(50_000) } }),
  );

it('answers 503 while the disk is full, goes on reading, and stores again once there is room', async () => {
  const database = await create();
  const application = await startApplication(database);
  const alice = application.client('alice');
  await alice.createBackup();
  await upload(alice, 'first');
  // SQLite's own limit stands for the disk: it fails in the same way
  const [{ page_count: pages }] =
    await application.dataSource.query<[{ page_count: number }]>('PRAGMA page_count');
  await application.dataSource.query(`PRAGMA max_page_count = ${pages + 20}`);

  const statuses: number[] = [];
  for (let n = 0; n < 6; n++) statuses.push((await upload(alice, `more${n}`)).status);
  expect(new Set(statuses)).toEqual(new Set([200, 503]));
  const stored = 1 + statuses.filter((status) => status === 200).length;

  expect((await alice.get('/version')).body).toMatchObject({ count: stored });
  expect((await alice.get(`${keyPath('!r:hs1', 'first')}?version=1`)).status).toBe(200);
  await application.dataSource.query('PRAGMA max_page_count = 1000000');
  expect(await upload(alice, 'last')).toMatchObject({ status: 200, body: { count: stored + 1 } });
  expect((await alice.get('/keys?version=1')).text.match(/"session_data"/g)).toHaveLength(
    stored + 1,
  );
  await application.close();
  await database.drop();
});
