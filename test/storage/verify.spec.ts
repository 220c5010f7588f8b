/**
 * Proves on each database that a verification finds every kind of damage, each made by hand, that it
 * finds nothing where all is well, also while clients store and delete, and that it changes nothing.
 */
import { jest } from '@jest/globals';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { recordStatements } from '../support/statements.js';
import { numberOf, query } from '../support/sql.js';

const ALICE = '@alice:hs1';
const TABLES = ['users', 'backups', 'key_sets', 'rooms', 'keys'];

const batch = (from: number, count: number) =>
  roomsBody(
    Array.from({ length: count }, (_, n) => [`!r${n % 2}:hs1`, `s${from + n}`, keyData()] as const),
  );

describe.each(databases)('verify on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let maintenance: RoomKeysMaintenance;
  let alice: MatrixClient;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    maintenance = new RoomKeysMaintenance(application.dataSource);
    alice = application.client('alice/PHONE');
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of TABLES) await execute(`DELETE FROM room_keys_${table}`);
    await alice.createBackup();
    await alice.put('/keys?version=1', batch(0, 4));
    await alice.createBackup();
    await alice.put('/keys?version=2', batch(0, 6));
    const bob = application.client('bob');
    await bob.createBackup();
    await bob.put('/keys?version=1', batch(0, 3));
  });

  const execute = (sql: string, parameters: unknown[] = []) =>
    query(application.dataSource, sql, parameters);
  const verify = async (userId?: string) => {
    const findings = [];
    for await (const finding of maintenance.verify({ userId })) findings.push(finding);
    return findings;
  };

  /** Puts Alice's name, her second backup's key set and a hash into a statement. */
  const damage = async (sql: string) => {
    const keySetId = await numberOf(
      application.dataSource,
      'SELECT key_set_id FROM room_keys_backups WHERE user_id = ? AND version = 2',
      [Buffer.from(ALICE)],
    );
    await execute(
      sql
        .replace('ALICE', `x'${Buffer.from(ALICE).toString('hex')}'`)
        .replaceAll('SET2', String(keySetId)),
    );
  };

  it('finds nothing where all is well', async () => {
    await alice.delete(`${keyPath('!r0:hs1', 's0')}?version=2`);
    await alice.delete(`${keyPath('!r1:hs1')}?version=2`);
    await alice.put('/keys?version=2', batch(4, 3));
    await alice.delete('/version/1');
    expect(await verify()).toEqual([]);
    expect(await verify(ALICE)).toEqual([]);
    expect(await verify('@nobody:hs1')).toEqual([]);
  });

  it('finds nothing where the clock of a server that wrote was ahead of that of another', async () => {
    const ahead = () => Math.round(performance.timeOrigin + performance.now()) + 60_000;
    const now = jest.spyOn(Date, 'now').mockImplementation(ahead);
    await alice.createBackup();
    now.mockRestore();
    await alice.put('/keys?version=3', batch(0, 2));
    await alice.delete(`${keyPath('!r0:hs1', 's0')}?version=3`);
    expect(await verify()).toEqual([]);
  });

  it('reads everything, and tells how far it is', async () => {
    const states: unknown[] = [];
    const findings = maintenance.verify({ onProgress: (state) => states.push(state) });
    for await (const finding of findings) expect(finding).toBeUndefined();
    expect(states[0]).toEqual({ users: 0, backups: 0, keys: 0, keysInAll: 13 });
    expect(states.at(-1)).toEqual({ users: 2, backups: 3, keys: 13, keysInAll: 13 });
  });

  it('writes nothing', async () => {
    await damage('UPDATE room_keys_backups SET key_count = 7 WHERE key_set_id = SET2');
    const { byRunner, stop } = recordStatements(application.dataSource);
    await verify();
    stop();
    const statements = [...byRunner.values()].flat();
    expect(
      statements.filter((sql) => /^\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP)/i.test(sql)),
    ).toEqual([]);
  });

  const inBackup = 'WHERE key_set_id = SET2';
  const firstKey = `${inBackup} AND seq = 0`;
  it.each([
    [
      'a count that is too high',
      `UPDATE room_keys_backups SET key_count = 7 ${inBackup}`,
      ['key-count'],
    ],
    [
      'a count that is too low',
      `UPDATE room_keys_backups SET key_count = 0 ${inBackup}`,
      ['key-count'],
    ],
    [
      'wrong bytes',
      `UPDATE room_keys_backups SET byte_count = byte_count + 1 ${inBackup}`,
      ['byte-count'],
    ],
    [
      'a largest key that is too small',
      `UPDATE room_keys_backups SET largest_key = 3 ${inBackup}`,
      ['largest-key'],
    ],
    [
      'a next number that is taken',
      `UPDATE room_keys_backups SET next_seq = 5 ${inBackup}`,
      ['next-seq'],
    ],
    ['an etag below 0', `UPDATE room_keys_backups SET etag = -1 ${inBackup}`, ['etag']],
    [
      'a change before the creation',
      `UPDATE room_keys_backups SET changed_at = 5 ${inBackup}`,
      ['time'],
    ],
    [
      'auth_data that is no JSON',
      `UPDATE room_keys_backups SET auth_data = '{"a":' ${inBackup}`,
      ['auth-data'],
    ],
    [
      'auth_data that is no object',
      `UPDATE room_keys_backups SET auth_data = '[]' ${inBackup}`,
      ['auth-data'],
    ],
    [
      'an empty algorithm',
      `UPDATE room_keys_backups SET algorithm = x'' ${inBackup}`,
      ['algorithm'],
    ],
    [
      'a current version that is not the newest',
      'UPDATE room_keys_users SET current_version = 1 WHERE user_id = ALICE',
      ['current-version'],
    ],
    [
      'no current version beside a backup',
      'UPDATE room_keys_users SET current_version = NULL WHERE user_id = ALICE',
      ['current-version'],
    ],
    [
      'a last version that is too low',
      'UPDATE room_keys_users SET last_version = 1 WHERE user_id = ALICE',
      ['last-version'],
    ],
    [
      'backups whose user has no row',
      'DELETE FROM room_keys_users WHERE user_id = ALICE',
      ['backup-without-user', 'backup-without-user'],
    ],
    [
      'a key set that is about to be swept',
      `UPDATE room_keys_key_sets SET retired_at = 5 ${inBackup}`,
      ['key-set-retired'],
    ],
    [
      'a key set that two backups have',
      'UPDATE room_keys_backups SET key_set_id = SET2 WHERE user_id = ALICE',
      ['key-set-shared', 'key-set-without-backup', 'key-count', 'byte-count', 'next-seq'],
    ],
    [
      'a key in a deleted backup',
      `DELETE FROM room_keys_backups ${inBackup}`,
      ['key-set-without-backup', 'current-version'],
    ],
    [
      'keys and rooms of no key set',
      `DELETE FROM room_keys_key_sets ${inBackup}`,
      ['keys-without-key-set', 'rooms-without-key-set', 'backup-without-key-set'],
    ],
    [
      'an orphan key',
      `INSERT INTO room_keys_keys SELECT 999, room_no, seq, id_hash, session_id, first_message_index, forwarded_count, is_verified, device_id, session_data FROM room_keys_keys ${firstKey}`,
      ['keys-without-key-set'],
    ],
    [
      'an orphan room',
      `INSERT INTO room_keys_rooms SELECT 999, room_id, room_no, 0, 0 FROM room_keys_rooms ${inBackup} AND room_no = 0`,
      ['rooms-without-key-set'],
    ],
    [
      'a room that is missing',
      `DELETE FROM room_keys_rooms ${inBackup} AND room_no = 3`,
      ['key-without-room', 'key-without-room', 'key-without-room'],
    ],
    [
      'two rooms of one number',
      `UPDATE room_keys_rooms SET room_no = 0 ${inBackup}`,
      [
        'room-number',
        ...Array<string>(3).fill('id-hash'),
        ...Array<string>(3).fill('key-without-room'),
      ],
    ],
    [
      'a room with a number that will be given',
      `UPDATE room_keys_rooms SET room_no = 6 ${inBackup} AND room_no = 3`,
      ['next-seq', ...Array<string>(3).fill('key-without-room'), 'room-count'],
    ],
    [
      'a room id that is no UTF-8',
      `UPDATE room_keys_rooms SET room_id = x'21ff' ${inBackup} AND room_no = 3`,
      ['id'],
    ],
    [
      'a room id that is empty',
      `UPDATE room_keys_rooms SET room_id = x'' ${inBackup} AND room_no = 3`,
      ['id'],
    ],
    [
      'a session id that is no UTF-8',
      `UPDATE room_keys_keys SET session_id = x'c328' ${firstKey}`,
      ['id'],
    ],
    [
      'a session id that is another',
      `UPDATE room_keys_keys SET session_id = x'7331' ${firstKey}`,
      ['id-hash'],
    ],
    [
      'a hash that is not that of the ids',
      `UPDATE room_keys_keys SET id_hash = x'00112233445566778899aabbccddeeff' ${firstKey}`,
      ['id-hash'],
    ],
    ['a device id that is empty', `UPDATE room_keys_keys SET device_id = x'' ${firstKey}`, ['id']],
    [
      'an index below 0',
      `UPDATE room_keys_keys SET first_message_index = -1 ${firstKey}`,
      ['rank'],
    ],
    [
      'an index above 2^53−1',
      `UPDATE room_keys_keys SET first_message_index = 9007199254740992 ${firstKey}`,
      ['rank'],
    ],
    [
      'a forwarded count below 0',
      `UPDATE room_keys_keys SET forwarded_count = -5 ${firstKey}`,
      ['rank'],
    ],
    [
      'is_verified that is neither',
      `UPDATE room_keys_keys SET is_verified = 2 ${firstKey}`,
      ['rank'],
    ],
    [
      'session_data that is no JSON',
      `UPDATE room_keys_keys SET session_data = '{"ephemeral":"e","ciphertext":"c","mac":"m",}' ${firstKey}`,
      ['byte-count', 'largest-key', 'session-data', 'room-count'],
    ],
    [
      'session_data of the same length that is no object',
      `UPDATE room_keys_keys SET session_data = '["ephemeral","e","ciphertext","c","mac","m"]' ${firstKey}`,
      ['session-data'],
    ],
  ])('finds %s', async (_, sql, codes) => {
    await damage(sql);
    const found = await verify();
    expect(found.map(({ code }) => code)).toEqual(codes);
    for (const { message } of found) expect(message).toMatch(/^[A-Z\w].*\.$/);
    expect(JSON.stringify(found)).not.toContain('ephemeral');
  });

  it('names the backup and the key', async () => {
    await damage(`UPDATE room_keys_keys SET is_verified = 3 ${firstKey}`);
    const finding = {
      code: 'rank',
      message: 'is_verified is 3, which is neither 0 nor 1.',
      userId: ALICE,
      version: '2',
      roomId: '!r0:hs1',
      sessionId: 's0',
    };
    expect(await verify()).toEqual([finding]);
    expect(await verify(ALICE)).toEqual([finding]);
    expect(await verify('@bob:hs1')).toEqual([]);
  });

  it('finds ids that are longer than any that a client may send', async () => {
    if (database.dataSourceOptions.type !== 'better-sqlite3') return;
    await execute('UPDATE room_keys_keys SET session_id = ? WHERE seq = 0', [
      Buffer.alloc(256, 'a'),
    ]);
    expect((await verify()).map(({ code }) => code)).toEqual(['id', 'id', 'id']);
  });

  it('finds nothing while clients store, replace and delete', async () => {
    let writing = true;
    const write = async (client: MatrixClient, n: number) => {
      for (let round = 0; writing; round++) {
        await client.put('/keys?version=2', batch(round * 7, 20 + n));
        await client.delete(`${keyPath('!r0:hs1')}?version=2`);
        if (round % 3 === 0) await client.delete('/keys?version=2');
      }
    };
    const version = async () => {
      const carol = application.client('carol');
      while (writing) await carol.delete(`/version/${await carol.createBackup()}`);
    };
    const writers = [write(alice, 0), write(application.client('alice/TABLET'), 5), version()];
    try {
      for (let round = 0; round < 15; round++) expect(await verify()).toEqual([]);
    } finally {
      writing = false;
      await Promise.all(writers);
    }
  });

  it('can be broken off', async () => {
    await damage(`UPDATE room_keys_keys SET is_verified = 3 ${inBackup}`);
    for (let round = 0; round < 20; round++) {
      for await (const finding of maintenance.verify()) {
        expect(finding.code).toBe('rank');
        break;
      }
    }
    expect(await verify()).toHaveLength(6);
  });
});
