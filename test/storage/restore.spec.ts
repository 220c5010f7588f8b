/** Proves that a restore shows one moment's state, reads in pages, and lets go of the database when its reader goes away. */
import { get } from 'node:http';
import Sqlite from 'better-sqlite3';
import type { Pool } from 'pg';
import { RoomKeysService } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, serverDatabases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { recordStatements } from '../support/statements.js';

const PAGE = 1000;
const batch = (from: number, count: number, fields: object = {}) =>
  roomsBody(
    Array.from(
      { length: count },
      (_, n) => [`!r${n % 7}:hs1`, `s${from + n}`, keyData(fields)] as const,
    ),
  );

/** Alice's restore, whose reader goes away as soon as something has come. */
function leaveAtFirstBytes(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(
      `${url}/_matrix/client/v3/room_keys/keys?version=1`,
      { headers: { Authorization: 'Bearer alice' } },
      (response) => {
        response.once('data', () => {
          request.destroy();
          resolve();
        });
      },
    );
    request.on('error', reject);
  });
}

describe.each(databases)('a restore on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database);
    alice = application.client('alice');
    await alice.createBackup();
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  it.each([0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 500])(
    'returns each of %d keys once',
    async (count) => {
      if (count > 0) await alice.put('/keys?version=1', batch(0, count));
      const { text, body } = await alice.get('/keys?version=1');
      expect(body).toEqual(batch(0, count));
      // a name given twice would be gone in the parsed body
      expect(text.match(/"first_message_index"/g)?.length ?? 0).toBe(count);
      expect(text.match(/"sessions"/g)?.length ?? 0).toBe(Math.min(count, 7));
    },
  );

  it('keeps a room together that was written at many times', async () => {
    for (let n = 0; n < 5; n++) await alice.put('/keys?version=1', batch(n * 300, 300));
    const { text, body } = await alice.get('/keys?version=1');
    expect(text.match(/"sessions"/g)).toHaveLength(7);
    expect(text.match(/"first_message_index"/g)).toHaveLength(1500);
    const sessions = Object.values(body.rooms as Record<string, { sessions: object }>).map(
      (room) => Object.keys(room.sessions).length,
    );
    expect(sessions.reduce((sum, one) => sum + one)).toBe(1500);
    expect(
      (await alice.get(`${keyPath('!r0:hs1')}?version=1`)).text.match(/"first_message_index"/g),
    ).toHaveLength(sessions[0] ?? 0);
  });

  it('shows the state of the moment when it began, whatever is written, replaced and deleted meanwhile', async () => {
    await alice.put('/keys?version=1', batch(0, 3 * PAGE));
    const pages = await application.app.get(RoomKeysService).keys('@alice:hs1', '1');
    const first = await pages.next();
    await alice.put('/keys?version=1', batch(3 * PAGE, 500));
    await alice.put('/keys?version=1', batch(0, 3 * PAGE, { is_verified: true }));
    await alice.delete('/keys?version=1');
    await alice.put('/keys?version=1', batch(0, 10));
    const keys = [...(first ?? [])];
    for (let page = await pages.next(); page; page = await pages.next()) keys.push(...page);
    expect(keys).toHaveLength(3 * PAGE);
    expect(keys.every(({ isVerified }) => !isVerified)).toBe(true);
    expect(new Set(keys.map(({ sessionId }) => sessionId)).size).toBe(3 * PAGE);
    expect((await alice.get('/version')).body.count).toBe(10);
  });

  it('gives its connection back when the reader goes away, again and again', async () => {
    await alice.put(
      '/keys?version=1',
      batch(0, 2 * PAGE, { session_data: { x: 'y'.repeat(2000) } }),
    );
    for (let n = 0; n < 25; n++) {
      await leaveAtFirstBytes(application.url);
    }
    // more than the pool has connections: one that is not given back would be missed here
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => alice.get('/keys?version=1')),
    );
    for (const { status, text } of answers) {
      expect(status).toBe(200);
      expect(text.match(/"first_message_index"/g)).toHaveLength(2 * PAGE);
    }
  });

  it('is byte for byte what was stored, whatever ids and numbers there are', async () => {
    const most = Number.MAX_SAFE_INTEGER;
    const ids = [
      'plain+/=',
      '"',
      'back\\slash\\101',
      '\\x6162',
      '\0',
      'a\u0000b\u001f\u007f\n\r\t\b\f',
      'é\u2028\ud7ff\ue000',
      '🔑',
      '한'.repeat(85),
      '__proto__',
      '7',
    ];
    const key = (n: number) =>
      `{"first_message_index":${[0, 1, most][n % 3]},"forwarded_count":${[most, 0, 2 ** 32][n % 3]},` +
      `"is_verified":${n % 2 === 0},"session_data":{ "n" : 1e999,"q":"\\"\\\\","u":"\\u00e9"}}`;
    const rooms = ids.map((roomId, room) => {
      const sessions = ids.map((sessionId, n) => `${JSON.stringify(sessionId)}:${key(room + n)}`);
      return `${JSON.stringify(roomId)}:{"sessions":{${sessions.join()}}}`;
    });
    const all = `{"rooms":{${rooms.join()}}}`;
    await alice.send('PUT', '/keys?version=1', all);
    expect((await alice.get('/keys?version=1')).text).toBe(all);
    for (const [n, roomId] of ids.entries()) {
      const { text } = await alice.get(`${keyPath(roomId)}?version=1`);
      expect(`${JSON.stringify(roomId)}:${text}`).toBe(rooms[n]);
    }
    const service = application.app.get(RoomKeysService);
    const read: string[] = [];
    for await (const { roomId, sessionId } of await service.keys('@alice:hs1', '1')) {
      read.push(roomId, sessionId);
    }
    expect(read).toEqual(ids.flatMap((roomId) => ids.flatMap((id) => [roomId, id])));
  });

  it('fails if a key has no room', async () => {
    await alice.put('/keys?version=1', batch(0, 10));
    await application.dataSource.query('DELETE FROM room_keys_rooms WHERE room_no > 2');
    const answer = await alice.get('/keys?version=1').catch(() => undefined);
    expect(answer?.status).not.toBe(200);
  });

  it('reads keys of a megabyte a few at a time', async () => {
    for (let n = 0; n < 4; n++) {
      await alice.put(
        `${keyPath('!r:hs1', `s${n}`)}?version=1`,
        keyData({ session_data: { x: `${n}`.repeat(1024 * 1024) } }),
      );
    }
    const pages = await application.app.get(RoomKeysService).keys('@alice:hs1', '1');
    const sizes: number[] = [];
    for (let page = await pages.next(); page; page = await pages.next()) sizes.push(page.length);
    expect(sizes).toEqual([1, 1, 1, 1]);
  });
});

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))(
  'a restore on $name through a client that cannot COPY',
  ({ create }) => {
    it('is the same', async () => {
      const database = await create();
      const application = await startApplication(database);
      const alice = application.client('alice');
      await alice.createBackup();
      await alice.put('/keys?version=1', batch(0, 500));
      const { text } = await alice.get('/keys?version=1');
      const { master } = application.dataSource.driver as unknown as { master: Pool };
      master.on('acquire', (client) => {
        const query = client.query.bind(client) as (config: object, ...rest: unknown[]) => unknown;
        Object.assign(client, {
          native: {},
          query: (config: object, ...rest: unknown[]) => {
            if (typeof config === 'object' && 'submit' in config) throw new Error('Not a query.');
            return query(config, ...rest);
          },
        });
      });
      expect((await alice.get('/keys?version=1')).text).toBe(text);
      await application.close();
      await database.drop();
    });
  },
);

describe('a restore on SQLite without a write-ahead log', () => {
  it.each(['/keys', keyPath('!r0:hs1')])(
    'is of one moment when another process writes, of %s',
    async (path) => {
      const database = await databases[0]!.create();
      const { database: file } = database.dataSourceOptions as { database: string };
      const application = await startApplication({
        ...database,
        dataSourceOptions: { type: 'better-sqlite3', database: file },
      });
      const alice = application.client('alice');
      await alice.createBackup();
      await alice.put('/keys?version=1', batch(0, 2 * PAGE));
      const other = new Sqlite(file, { timeout: 0 });
      const outcomes: unknown[] = [];
      const before = application.dataSource.logger;
      application.dataSource.logger = new Proxy(before, {
        get: (logger, name, receiver): unknown =>
          name === 'logQuery'
            ? (sql: string) => {
                if (outcomes.length === 2) return;
                if (!/SELECT room_no, (room_id|key_count|seq).* FROM .room_keys/s.test(sql)) return;
                // what another server does when it empties a room, and stores its keys anew
                try {
                  other.exec(`UPDATE room_keys_rooms SET room_no = room_no + 10000;
                  UPDATE room_keys_keys SET room_no = room_no + 10000`);
                  outcomes.push('written');
                } catch (error) {
                  outcomes.push((error as { code: string }).code);
                }
              }
            : Reflect.get(logger, name, receiver),
      });
      const restored = await alice.get(`${path}?version=1`);
      application.dataSource.logger = before;
      expect(outcomes).toEqual(['SQLITE_BUSY', 'SQLITE_BUSY']);
      expect(restored.status).toBe(200);
      expect(restored.body).toEqual((await alice.get(`${path}?version=1`)).body);
      // it waits no longer, and nothing of ours is left open
      other.exec('UPDATE room_keys_backups SET changed_at = changed_at');
      expect(application.dataSource.createQueryRunner().isTransactionActive).toBe(false);
      expect((await alice.put('/keys?version=1', batch(0, 1, { is_verified: true }))).status).toBe(
        200,
      );
      other.close();
      await application.close();
      await database.drop();
    },
  );
});

// on SQLite, a restore has a connection of its own, whose statements the host's log does not show
describe.each(serverDatabases)('a restore that its client leaves on $name', ({ create }) => {
  it('reads no further, and ends its transaction', async () => {
    const database = await create();
    const application = await startApplication(database);
    const alice = application.client('alice');
    await alice.createBackup();
    const large = { session_data: { x: 'y'.repeat(8000) } };
    for (let n = 0; n < 30; n++) await alice.put('/keys?version=1', batch(n * 500, 500, large));
    const pages = Math.ceil((15_000 * 8000) / (1024 * 1024));

    const { byRunner, stop } = recordStatements(application.dataSource);
    await leaveAtFirstBytes(application.url);
    const statements = () => [...byRunner.values()].flat();
    const isOver = () => statements().some((sql) => sql.startsWith('ROLLBACK'));
    while (!isOver()) await new Promise(setImmediate);
    stop();

    const read = statements().filter((sql) => sql.includes('session_data'));
    expect(read.length).toBeGreaterThan(0);
    expect(read.length).toBeLessThan(pages / 2);
    expect(statements().at(-1)).toMatch(/^ROLLBACK/);
    await application.close();
    await database.drop();
  });
});
