/**
 * Proves that a full disk under SQLite or PostgreSQL, or a file that cannot be written to, costs the uploads and
 * nothing else, that the log says what to do, and that it heals.
 */
import { startApplication, type TestApplication } from '../support/application.js';
import { databases } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient } from '../support/matrix-client.js';

const { create } = databases.find(({ name }) => name === 'SQLite')!;
/** Such lines of the log as tell of errors, from now on. */
function errorsOf({ app }: TestApplication): string[] {
  const errors: string[] = [];
  const ignore = () => undefined;
  app.useLogger({
    log: ignore,
    warn: ignore,
    error: (message: string) => {
      errors.push(message);
    },
  });
  return errors;
}

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

  const errors = errorsOf(application);
  const statuses: number[] = [];
  for (let n = 0; n < 6; n++) statuses.push((await upload(alice, `more${n}`)).status);
  expect(new Set(statuses)).toEqual(new Set([200, 503]));
  expect(new Set(errors)).toEqual(
    new Set([
      'The database is not available (SQLITE_FULL), the client gets 503. The disk is full. Free some space.',
    ]),
  );
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

it('answers 503 while the file cannot be written to, goes on reading, and stores again once it can', async () => {
  const database = await create();
  const application = await startApplication(database);
  const alice = application.client('alice');
  await alice.createBackup();
  await upload(alice, 'first');
  // stands for the permissions of the file, which do not hold for root: SQLite fails in the same way
  await application.dataSource.query('PRAGMA query_only = ON');
  const errors = errorsOf(application);
  const answer = await upload(alice, 'second');
  expect(answer.status).toBe(503);
  expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
  expect(errors).toEqual([
    'The database is not available (SQLITE_READONLY), the client gets 503. The user of this process must be able to write to the file and to its folder.',
  ]);
  expect((await alice.get('/keys?version=1')).text.match(/"session_data"/g)).toHaveLength(1);
  await application.dataSource.query('PRAGMA query_only = OFF');
  expect(await upload(alice, 'second')).toMatchObject({ status: 200, body: { count: 2 } });
  await application.close();
  await database.drop();
});

it('is not begun on a file that cannot be written to', async () => {
  const database = await create();
  await (await startApplication(database)).close();
  const readOnly = { ...database.dataSourceOptions, readonly: true, enableWAL: false };
  await expect(startApplication({ ...database, dataSourceOptions: readOnly })).rejects.toThrow(
    'RoomKeysModule: the database is read-only. Allow ',
  );
  await database.drop();
});

const postgres = databases.filter(({ name }) => name === 'PostgreSQL');

describe.each(postgres)('a full disk under $name', (full) => {
  it('costs the uploads only, and heals', async () => {
    const database = await full.create();
    const application = await startApplication(database);
    const alice = application.client('alice');
    await alice.createBackup();
    await upload(alice, 'first');
    // PostgreSQL's own error, for each key that would need more room
    await application.dataSource.query(`
      CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
      CREATE TRIGGER no_room BEFORE INSERT ON room_keys_keys EXECUTE FUNCTION no_room()`);
    const errors = errorsOf(application);
    const answer = await upload(alice, 'second');
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(errors).toEqual([
      'The database is not available (53100), the client gets 503. The disk is full. Free some space.',
    ]);
    expect((await alice.get('/version')).body).toMatchObject({ count: 1, etag: '1' });
    expect((await alice.get('/keys?version=1')).text.match(/"session_data"/g)).toHaveLength(1);
    await application.dataSource.query('DROP FUNCTION no_room CASCADE');
    expect(await upload(alice, 'second')).toMatchObject({ status: 200, body: { count: 2 } });
    await application.close();
    await database.drop();
  });
});
