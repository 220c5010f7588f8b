import { DataSource } from 'typeorm';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import type { TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

export const ALL = '/keys?version=1';

/** What is in it would be read differently under one of the settings. */
export const TRICKY = keyData({
  first_message_index: 3,
  session_data: {
    quote: "it's",
    double: 'a"b',
    back: 'c\\d',
    end: "\\'",
    accent: 'é',
    nothing: '\0',
  },
});
export const keys = (count: number, key: object = TRICKY) =>
  Array.from({ length: count }, (_, n) => [`!é'r${n % 3}:hs1`, `s${n}'\\`, key] as const);

/** Stores, restores, replaces and deletes keys of a user who has none, and looks at the rows from another session. */
export async function expectAllPromises(
  database: TestDatabase,
  alice: MatrixClient,
): Promise<void> {
  expect(await alice.createBackup({ public_key: "it's", 'é\\': '"' })).toBe('1');
  const uploads = [1, 2, 3].map(() => alice.put(ALL, roomsBody(keys(30))));
  for (const { status, body } of await Promise.all(uploads)) {
    expect(status).toBe(200);
    expect(body.count).toBe(30);
  }
  // by whatever connection, and in another session
  for (let n = 0; n < 6; n += 1) {
    expect((await alice.get(ALL)).body).toEqual(roomsBody(keys(30)));
    expect((await alice.get('/version')).body).toMatchObject({
      count: 30,
      auth_data: { public_key: "it's", 'é\\': '"' },
    });
  }
  const better = { ...TRICKY, is_verified: true };
  expect((await alice.put(ALL, roomsBody(keys(10, better)))).body.count).toBe(30);
  expect((await alice.get(`${keyPath("!é'r1:hs1", "s1'\\")}?version=1`)).body).toEqual(better);
  expect((await alice.delete(`${keyPath("!é'r1:hs1")}?version=1`)).body.count).toBe(20);
  expect((await alice.get('/version')).body.count).toBe(20);
  const other = await new DataSource(database.dataSourceOptions).initialize();
  const [row] = await other.query<{ etag: unknown; count: unknown }[]>(
    'SELECT etag, key_count AS count FROM room_keys_backups',
  );
  expect({ etag: Number(row?.etag), count: Number(row?.count) }).toEqual({ etag: 3, count: 20 });
  const findings: unknown[] = [];
  for await (const finding of new RoomKeysMaintenance(other).verify()) findings.push(finding);
  await other.destroy();
  expect(findings).toEqual([]);
}

/** Stores and restores a key while another session has changed it, and does not commit that. */
export async function seesOnlyCommitted(
  database: TestDatabase,
  alice: MatrixClient,
): Promise<void> {
  await alice.createBackup();
  await alice.put(ALL, roomsBody([['!r:hs1', 's', TRICKY]]));
  const other = await new DataSource(database.dataSourceOptions).initialize();
  const stranger = other.createQueryRunner();
  try {
    await stranger.query('BEGIN');
    await stranger.query('UPDATE room_keys_keys SET is_verified = 1');
    // worse than what is not committed, better than what is
    const better = { ...TRICKY, first_message_index: 1 };
    const upload = alice.put(ALL, roomsBody([['!r:hs1', 's', better]]));
    expect((await alice.get(ALL)).body).toEqual(roomsBody([['!r:hs1', 's', TRICKY]]));
    await stranger.query('ROLLBACK');
    expect((await upload).body).toEqual({ count: 1, etag: '2' });
    expect((await alice.get(ALL)).body).toEqual(roomsBody([['!r:hs1', 's', better]]));
  } finally {
    // also ends its transaction, for which dropping the database would wait
    await stranger.release();
    await other.destroy();
  }
}
