/**
 * Proves on each database what an import makes of a homeserver's tables: that backups arrive as they
 * were, that a second import changes nothing, what happens where both sides changed, what is refused,
 * and that an import which breaks off anywhere leaves nothing half done.
 */
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import {
  type RoomKeysImportOptions,
  RoomKeysMaintenance,
  RoomKeysTransfer,
  type RoomKeysTransferIssue,
  type RoomKeysTransferProgress,
} from '../../src/operations/index.js';
import { ImportRepository } from '../../src/room-keys/storage/import.repository.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { type DatabaseName, databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, roomsBody } from '../support/matrix-client.js';
import { query as queryOn } from '../support/sql.js';
import { ALGORITHM, authDataOf, HomeserverTables } from './homeserver-tables.js';

const ALICE = '@alice:hs1';
const BOB = '@bob:hs1';
const TABLES = ['users', 'backups', 'key_sets', 'rooms', 'keys', 'imports'];

describe.each(databases)('an import into $name', ({ name, create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let transfer: RoomKeysTransfer;
  let source: HomeserverTables;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    transfer = new RoomKeysTransfer(application.dataSource);
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(async () => {
    for (const table of TABLES) await query(`DELETE FROM room_keys_${table}`);
    source = new HomeserverTables();
  });
  afterEach(async () => {
    source.drop();
    expect(await verify()).toEqual([]);
  });

  const query = (sql: string, parameters: unknown[] = []) =>
    queryOn<Record<string, unknown>>(application.dataSource, sql, parameters);
  const verify = async () => {
    const findings = [];
    for await (const one of new RoomKeysMaintenance(application.dataSource).verify()) {
      findings.push(one);
    }
    return findings;
  };
  const run = async (options: RoomKeysImportOptions = {}) => {
    const issues: RoomKeysTransferIssue[] = [];
    const result = await transfer.importHomeserver('synapse', source.file, {
      onIssue: (issue) => issues.push(issue),
      ...options,
    });
    return { ...result, told: issues };
  };
  /** All that is stored but key sets that wait to be swept, whose numbers do not matter. */
  const stored = async () => ({
    users: await query('SELECT * FROM room_keys_users ORDER BY user_id'),
    backups: await query('SELECT * FROM room_keys_backups ORDER BY user_id, version'),
    keys: await query(
      `SELECT k.* FROM room_keys_keys k JOIN room_keys_backups b ON b.key_set_id = k.key_set_id
       ORDER BY k.key_set_id, k.room_no, k.seq`,
    ),
    imports: await query('SELECT * FROM room_keys_imports ORDER BY user_id, version'),
  });
  const client = (name = 'alice') => application.client(name);
  const info = async (version?: string, name?: string) => {
    const { status, body } = await client(name).get(`/version${version ? `/${version}` : ''}`);
    return status === 200 ? body : body.errcode;
  };
  const sessions = async (version: string, name?: string) => {
    const { body } = await client(name).get(`/keys?version=${version}`);
    return Object.values<{ sessions: object }>(body.rooms)
      .flatMap((room) => Object.keys(room.sessions))
      .sort();
  };
  const put = (version: string, session: string, fields: object = {}, name?: string) =>
    client(name).put(
      `/keys?version=${version}`,
      roomsBody([['!room0:hs1', session, keyData(fields)]]),
    );
  const changesNothing = async (options?: RoomKeysImportOptions) => {
    const before = await stored();
    const result = await run(options);
    expect(await stored()).toEqual(before);
    expect(result.keys.written).toBe(0);
    return result;
  };

  it('keeps versions, etags, counts, deletions, auth_data and session_data as they stand', async () => {
    const data =
      '{"big": 12345678901234567890, "text": "é \\u00fc\\ud83d\\ude00 😀", "a": {"b": [1.0]}}';
    source
      .backup(ALICE, 1, { deleted: 1, etag: 3 })
      .backup(ALICE, 2, { etag: 17, auth_data: authDataOf('ключ') })
      .key(ALICE, 2, '!a:hs1', 'x/y+z', { session_data: data, is_verified: 1, forwarded_count: 5 })
      .key(ALICE, 2, '!A:hs1', 'x/y+z', { first_message_index: 2147483647 })
      .backup(ALICE, 3, { deleted: 1, etag: 1 })
      .backup(BOB, 1, { etag: null })
      .keys(BOB, 1, 2500);
    const result = await run();
    expect(result).toMatchObject({
      complete: true,
      users: 2,
      backups: { created: 2, merged: 0, unchanged: 0, deleted: 0, skipped: 0 },
      keys: { read: 2502, written: 2502, skipped: 0 },
      verified: { backups: 2, keys: 2502 },
      issues: {},
      told: [],
    });
    expect(await info()).toEqual({
      algorithm: ALGORITHM,
      auth_data: JSON.parse(authDataOf('ключ')),
      count: 2,
      etag: '17',
      version: '2',
    });
    expect(await info('1')).toBe('M_NOT_FOUND');
    expect(await info('3')).toBe('M_NOT_FOUND');
    const { text } = await client().get(`${keyPath('!a:hs1', 'x/y+z')}?version=2`);
    expect(text).toContain('"session_data":{"big": 12345678901234567890, "text": "\\u00e9 ');
    expect(JSON.parse(text)).toEqual({
      first_message_index: 0,
      forwarded_count: 5,
      is_verified: true,
      session_data: JSON.parse(data),
    });
    expect((await info(undefined, 'bob')).count).toBe(2500);
    expect(await sessions('1', 'bob')).toHaveLength(2500);
    // the next version was never used
    expect(await client().createBackup()).toBe('4');
  });

  it('changes nothing when it is done again, in full or of what changed', async () => {
    source.backup(ALICE, 1, { etag: 4 }).keys(ALICE, 1, 20).backup(BOB, 1, { deleted: 1 });
    await run();
    expect(await changesNothing()).toMatchObject({ backups: { unchanged: 1 }, keys: { read: 20 } });
    expect(await changesNothing({ changedOnly: true })).toMatchObject({
      backups: { unchanged: 1 },
      keys: { read: 0 },
    });
  });

  it('imports one user where one is named', async () => {
    source.backup(ALICE, 1).keys(ALICE, 1, 2).backup(BOB, 1).keys(BOB, 1, 3);
    expect(await run({ userId: BOB })).toMatchObject({ users: 1, keys: { read: 3 } });
    expect(await info()).toBe('M_NOT_FOUND');
    expect((await info(undefined, 'bob')).count).toBe(3);
  });

  describe('of a backup that is unchanged here', () => {
    beforeEach(async () => {
      source.backup(ALICE, 1, { etag: 5 }).keys(ALICE, 1, 30);
      await run();
    });

    it.each([{ changedOnly: true }, {}])('merges new and better keys, %j', async (options) => {
      source
        .keys(ALICE, 1, 3, 30)
        .change(ALICE, 1, 'etag = 8')
        .run(`UPDATE e2e_room_keys SET is_verified = 1 WHERE session_id = 'session 000002'`);
      expect(await run(options)).toMatchObject({
        backups: { merged: 1 },
        keys: { written: 4 },
        verified: { backups: 1, keys: 33 },
      });
      // all keys are equal to the source's, so that the etag is too
      expect(await info()).toMatchObject({ etag: '8', count: 33 });
      const path = `${keyPath('!room2:hs1', 'session 000002')}?version=1`;
      expect((await client().get(path)).body.is_verified).toBe(true);
      await changesNothing();
    });

    it('takes no key that is worse, and removes none; its etag is one that no client knows', async () => {
      source
        .keys(ALICE, 1, 2500, 30)
        .change(ALICE, 1, 'etag = 99')
        .run(`DELETE FROM e2e_room_keys WHERE session_id < 'session 000010'`);
      source.run(
        `UPDATE e2e_room_keys SET first_message_index = 9 WHERE session_id = 'session 000012'`,
      );
      // written in more than one transaction
      expect(await run()).toMatchObject({
        backups: { merged: 1 },
        keys: { written: 2500 },
        verified: { keys: 2520 },
      });
      const { etag, count } = await info();
      expect(count).toBe(2530);
      expect(Number(etag)).toBeGreaterThan(99);
      const path = `${keyPath('!room5:hs1', 'session 000012')}?version=1`;
      expect((await client().get(path)).body.first_message_index).toBe(0);
      await changesNothing();
      await changesNothing({ changedOnly: true });
    });

    it('merges, where the clock of the server that it was made through was ahead', async () => {
      await query('UPDATE room_keys_backups SET created_at = ?, changed_at = ?', [
        Date.now() + 1e6,
        Date.now() + 1e6,
      ]);
      // that its times are in order is verified after each test
      source.keys(ALICE, 1, 1, 30).change(ALICE, 1, 'etag = 99');
      expect(await run()).toMatchObject({ backups: { merged: 1 }, verified: { keys: 31 } });
    });

    it('takes over new auth_data, which the etag does not show', async () => {
      const signed = authDataOf(`key of ${ALICE} 1`).replace('"sig"', '"another"');
      source.change(ALICE, 1, `auth_data = '${signed}'`);
      expect(await run({ changedOnly: true })).toMatchObject({ backups: { merged: 1 } });
      expect(await info()).toMatchObject({ etag: '5', count: 30 });
      expect((await info()).auth_data.signatures[ALICE]).toEqual({ 'ed25519:A': 'another' });
      await changesNothing();
    });

    it('follows a deletion on request, and creates a new backup beside it', async () => {
      source.delete(ALICE, 1).backup(ALICE, 2, { etag: 1 }).keys(ALICE, 2, 4);
      expect(await run({ changedOnly: true, followDeletions: true })).toMatchObject({
        complete: true,
        backups: { deleted: 1, created: 1 },
        told: [],
      });
      expect(await info()).toMatchObject({ version: '2', count: 4 });
      expect(await info('1')).toBe('M_NOT_FOUND');
      await changesNothing({ followDeletions: true });
      source.delete(ALICE, 2);
      await run({ followDeletions: true });
      expect(await info()).toBe('M_NOT_FOUND');
      expect(await client().createBackup()).toBe('3');
    });

    it('keeps what was deleted in the source otherwise, and says so', async () => {
      source.delete(ALICE, 1).backup(ALICE, 2, { etag: 1 }).keys(ALICE, 2, 4);
      const { complete, told } = await run();
      expect(complete).toBe(true);
      expect(told).toEqual([
        {
          code: 'deleted-in-source',
          message: 'The backup was deleted in the source, and is kept.',
          userId: ALICE,
          version: '1',
        },
      ]);
      expect(await info()).toMatchObject({ version: '2', count: 4 });
      expect(await info('1')).toMatchObject({ version: '1', count: 30 });
      await changesNothing();
    });

    it('creates a newer one and follows a deletion also after keys were deleted in the source', async () => {
      source.run(`DELETE FROM e2e_room_keys WHERE session_id < 'session 000010'`);
      source.change(ALICE, 1, 'etag = 6');
      await run();
      source.delete(ALICE, 1).backup(ALICE, 2, { etag: 1 }).keys(ALICE, 2, 4);
      expect(await run({ followDeletions: true })).toMatchObject({
        complete: true,
        backups: { created: 1, deleted: 1 },
      });
      expect(await info()).toMatchObject({ version: '2', count: 4 });
      expect(await info('1')).toBe('M_NOT_FOUND');
    });

    it('finds in full what the etag of the source does not show, and merges it', async () => {
      source.keys(ALICE, 1, 1, 30);
      await changesNothing({ changedOnly: true });
      expect(await run()).toMatchObject({ backups: { merged: 1 }, keys: { written: 1 } });
      expect(await info()).toMatchObject({ etag: '6', count: 31 });
      await changesNothing();
    });

    it('is not led back by a source that is older', async () => {
      source
        .change(
          ALICE,
          1,
          `etag = 3, auth_data = '${authDataOf(`key of ${ALICE} 1`).replace('sig', 'old')}'`,
        )
        .run(`DELETE FROM e2e_room_keys WHERE session_id > 'session 000009'`);
      const before = await info();
      await changesNothing();
      expect(await info()).toEqual(before);
      expect(before).toMatchObject({ etag: '5', count: 30 });
    });
  });

  describe('of a backup that was changed here', () => {
    beforeEach(async () => {
      source
        .backup(ALICE, 1, { etag: 5 })
        .key(ALICE, 1, '!room0:hs1', 'theirs better', { first_message_index: 3 })
        .key(ALICE, 1, '!room0:hs1', 'ours better', { first_message_index: 3 })
        .key(ALICE, 1, '!room0:hs1', 'deleted here');
      await run();
      await put('1', 'ours only');
      await put('1', 'ours better', { first_message_index: 1 });
      await client().delete(`${keyPath('!room0:hs1', 'deleted here')}?version=1`);
      source
        .key(ALICE, 1, '!room0:hs1', 'theirs only')
        .run(`UPDATE e2e_room_keys SET first_message_index = 2 WHERE session_id = 'ours better'`);
      source.run(`UPDATE e2e_room_keys SET is_verified = 1, first_message_index = 7
              WHERE session_id = 'theirs better'`);
    });

    it('takes what is missing or better, and loses nothing; its etag is new to every client', async () => {
      source.change(ALICE, 1, 'etag = 41');
      expect(await run()).toMatchObject({
        backups: { merged: 1 },
        keys: { written: 3 },
        verified: { backups: 1, keys: 4 },
        issues: {},
      });
      expect(await sessions('1')).toEqual([
        'deleted here',
        'ours better',
        'ours only',
        'theirs better',
        'theirs only',
      ]);
      const key = async (session: string) =>
        (await client().get(`${keyPath('!room0:hs1', session)}?version=1`)).body;
      expect(await key('ours better')).toMatchObject({ first_message_index: 1 });
      expect(await key('theirs better')).toMatchObject({
        is_verified: true,
        first_message_index: 7,
      });
      expect(await info()).toMatchObject({ etag: '42', count: 5 });
      await changesNothing();
      await changesNothing({ changedOnly: true });
    });

    it('steps over an etag that clients know for other keys, once', async () => {
      source.run(`DELETE FROM e2e_room_keys`);
      source.change(ALICE, 1, 'etag = 8');
      expect(await run()).toMatchObject({ backups: { merged: 1 }, keys: { written: 0 } });
      expect(await info()).toMatchObject({ etag: '9', count: 3 });
      await changesNothing();
    });

    it('keeps it when the source has deleted it, and says so', async () => {
      // whatever was merged before
      await run();
      source.delete(ALICE, 1);
      const { told } = await changesNothing({ followDeletions: true });
      expect(told).toEqual([
        {
          code: 'deleted-in-source',
          message: 'The backup was deleted in the source, but was changed here, and is kept.',
          userId: ALICE,
          version: '1',
        },
      ]);
    });

    it('leaves it deleted when it was deleted here, and says so', async () => {
      await client().delete('/version/1');
      const { complete, told } = await changesNothing();
      expect(complete).toBe(true);
      expect(told).toEqual([
        expect.objectContaining({ code: 'deleted-here', userId: ALICE, version: '1' }),
      ]);
      expect(await info()).toBe('M_NOT_FOUND');
    });

    it('takes a newer backup of the source, which is then the current one', async () => {
      source.backup(ALICE, 2, { etag: 2 }).keys(ALICE, 2, 2);
      expect(await run()).toMatchObject({ backups: { created: 1, merged: 1 } });
      expect(await info()).toMatchObject({ version: '2', count: 2 });
    });
  });

  it.each([{ changedOnly: true }, {}])(
    'changes nothing after new auth_data was stored here, where the keys are as they were, %j',
    async (options) => {
      source.backup(ALICE, 1, { etag: 7 }).keys(ALICE, 1, 5);
      await run();
      const auth_data = { public_key: `key of ${ALICE} 1`, signatures: { new: true } };
      await client().put('/version/1', { algorithm: ALGORITHM, auth_data });
      expect(await changesNothing(options)).toMatchObject({
        backups: { merged: 0, unchanged: 1 },
        keys: { read: options.changedOnly ? 0 : 5, written: 0 },
        told: [],
      });
      expect(await info()).toMatchObject({ auth_data, etag: '7', count: 5 });
      // clients go on, and keys that are missing are merged
      await put('1', 'ours');
      source.keys(ALICE, 1, 1, 5).change(ALICE, 1, 'etag = 8');
      expect(await run()).toMatchObject({ backups: { merged: 1 }, keys: { written: 1 } });
      expect(await info()).toMatchObject({ auth_data, etag: '9', count: 7 });
      await changesNothing();
    },
  );

  it('keeps new auth_data that was stored here, and merges', async () => {
    source.backup(ALICE, 1, { etag: 5 }).keys(ALICE, 1, 2);
    await run();
    const auth_data = { public_key: `key of ${ALICE} 1`, signatures: { new: true } };
    await client().put('/version/1', { algorithm: ALGORITHM, auth_data });
    source.run(`DELETE FROM e2e_room_keys WHERE session_id = 'session 000000'`);
    source.keys(ALICE, 1, 1, 2).change(ALICE, 1, 'etag = 7');
    expect(await run()).toMatchObject({ backups: { merged: 1 }, keys: { written: 1 } });
    expect(await info()).toMatchObject({ auth_data, etag: '8', count: 3 });
    source.change(
      ALICE,
      1,
      `etag = 8, auth_data = '${authDataOf(`key of ${ALICE} 1`).replace('sig', 'new')}'`,
    );
    await run();
    expect(await info()).toMatchObject({ auth_data, etag: '9' });
    source.delete(ALICE, 1);
    await changesNothing({ followDeletions: true });
  });

  describe('where the user made a backup here', () => {
    beforeEach(async () => {
      await client().createBackup({ public_key: 'made here' });
      await put('1', 'mine');
    });

    it('leaves another of the same version alone', async () => {
      source.backup(ALICE, 1, { etag: 5 }).keys(ALICE, 1, 2);
      const { told, backups, issues } = await changesNothing();
      expect(told).toEqual([
        {
          code: 'conflict',
          message: 'Another backup has this version here, and is kept.',
          userId: ALICE,
          version: '1',
        },
      ]);
      expect(backups.skipped).toBe(1);
      expect(issues).toEqual({ conflict: 1 });
      expect(await sessions('1')).toEqual(['mine']);
    });

    it('does not replace it by a newer one, however often it is tried, and gives its version to no other', async () => {
      source.backup(ALICE, 1, { deleted: 1 }).backup(ALICE, 2, { etag: 5 }).keys(ALICE, 2, 2);
      const skipped = {
        code: 'would-replace-current',
        message:
          'The user created backup 1 on this server, and this newer version would replace it as the current backup.',
        userId: ALICE,
        version: '2',
      };
      expect((await run()).told).toEqual([skipped]);
      expect((await changesNothing()).told).toEqual([skipped]);
      expect((await changesNothing({ changedOnly: true })).told).toEqual([skipped]);
      expect(await info()).toMatchObject({ version: '1', count: 1 });
      expect(await client().createBackup()).toBe('3');
      expect(await run()).toMatchObject({ backups: { created: 1 }, told: [] });
      expect(await info()).toMatchObject({ version: '3' });
      expect(await info('2')).toMatchObject({ version: '2', count: 2 });
    });

    it('takes keys of the same one', async () => {
      source.backup(ALICE, 1, { etag: 5, auth_data: authDataOf('made here') }).keys(ALICE, 1, 2);
      expect(await run()).toMatchObject({ backups: { merged: 1 }, keys: { written: 2 } });
      expect(await info()).toMatchObject({
        etag: '6',
        count: 3,
        auth_data: { public_key: 'made here' },
      });
      await changesNothing();
      source.delete(ALICE, 1);
      await changesNothing({ followDeletions: true });
    });
  });

  it('takes backups without a public key for the same where all of auth_data is', async () => {
    const algorithm = 'org.example.other';
    source
      .backup(ALICE, 1, { algorithm, auth_data: '{"iv": "a", "mac": 1}', etag: 1 })
      .backup(BOB, 1, { algorithm, auth_data: '{"iv": "a"}', etag: 1 });
    await run();
    source.change(ALICE, 1, `auth_data = '{"mac":1,"iv":"a"}'`);
    source.change(BOB, 1, `auth_data = '{"iv":"b"}'`);
    expect((await run()).told).toEqual([
      expect.objectContaining({ code: 'conflict', userId: BOB }),
    ]);
  });

  it('reports what no client could have stored, each with its place, and takes the rest', async () => {
    const long = 'x'.repeat(256);
    const secret = 'SECRET';
    const bad: [field: string, value: unknown, message: RegExp][] = [
      ['first_message_index', -1, /first_message_index is not a whole number/],
      ['first_message_index', 1.5, /first_message_index is not a whole number/],
      ['first_message_index', 'many', /first_message_index is not a whole number/],
      ['first_message_index', null, /first_message_index is not a whole number/],
      ['forwarded_count', 2 ** 60, /forwarded_count is not a whole number/],
      ['is_verified', 'yes', /is_verified is neither true nor false/],
      ['is_verified', 2, /is_verified is neither true nor false/],
      ['is_verified', null, /is_verified is neither true nor false/],
      ['session_data', `["${secret}"]`, /session_data is not a JSON object/],
      ['session_data', `"${secret}"`, /session_data is not a JSON object/],
      ['session_data', `{"a": ${secret}`, /session_data is not JSON/],
      ['session_data', `{"a": NaN}`, /session_data is not JSON/],
      ['session_data', '', /session_data is not JSON/],
      ['session_data', `{"a": "${secret}\0"}`, /session_data is not JSON/],
      ['session_data', Buffer.from('{}'), /session_data is not text/],
      ['session_data', `{"a":${'['.repeat(1001)}${']'.repeat(1001)}}`, /nested deeper than 1000/],
    ];
    source.backup(ALICE, 1, { etag: 50 }).keys(ALICE, 1, 3);
    bad.forEach(([field, value], n) => {
      source.key(ALICE, 1, '!bad:hs1', `bad ${String(n).padStart(2, '0')}`, { [field]: value });
    });
    source
      .key(ALICE, 1, long, 'long room')
      .key(ALICE, 1, '!bad:hs1', long)
      .key(ALICE, 1, '', 'no room')
      .key(ALICE, 1, '!fine:hs1', 'with a \0 in its id', { session_data: ' {} ' })
      .key(ALICE, 1, '!fine:hs1', 'é'.repeat(127));
    const { told, keys, verified, issues } = await run();
    expect(keys).toEqual({ read: 24, written: 5, skipped: 19 });
    expect(verified).toEqual({ backups: 1, keys: 5 });
    expect(issues).toEqual({ key: 19 });
    const byId = new Map(told.map((issue) => [issue.sessionId, issue]));
    bad.forEach(([, , message], n) => {
      expect(byId.get(`bad ${String(n).padStart(2, '0')}`)).toMatchObject({
        code: 'key',
        userId: ALICE,
        version: '1',
        roomId: '!bad:hs1',
        message: expect.stringMatching(message),
      });
    });
    expect(JSON.stringify(told)).not.toContain(secret);
    expect(await info()).toMatchObject({ etag: '50', count: 5 });
    expect(await changesNothing()).toMatchObject({ issues: { key: 19 } });
  });

  it('reports backups that cannot be read, and takes the others', async () => {
    source
      .backup(ALICE, 1, { auth_data: '[]' })
      .backup(ALICE, 2, { algorithm: 'x'.repeat(256) })
      .backup(ALICE, 3)
      .keys(ALICE, 3, 2)
      .backup(ALICE, -4)
      .backup(ALICE, 'five')
      .backup(`@${'x'.repeat(300)}:hs1`, 1);
    const { told, backups } = await run();
    expect(told.map(({ code, version }) => [code, version])).toEqual([
      ['backup', '-4'],
      ['backup', '1'],
      ['backup', '2'],
      ['backup', 'five'],
      ['user-id', undefined],
    ]);
    expect(backups).toMatchObject({ created: 1, skipped: 5 });
    expect(await info()).toMatchObject({ version: '3', count: 2 });
    await changesNothing();
  });

  it('takes the better one of a key that the source has twice, and everybody else', async () => {
    source.run('DROP INDEX e2e_room_keys_with_version_idx');
    source
      .backup(ALICE, 1, { etag: 3 })
      .keys(ALICE, 1, 3)
      .key(ALICE, 1, '!twice:hs1', 'worse first', { first_message_index: 5 })
      .key(ALICE, 1, '!twice:hs1', 'worse first', { first_message_index: 2 })
      .key(ALICE, 1, '!twice:hs1', 'worse last', { first_message_index: 2 })
      .key(ALICE, 1, '!twice:hs1', 'worse last', { first_message_index: 5 })
      .backup(BOB, 1)
      .keys(BOB, 1, 2);
    const { told, keys } = await run();
    expect(told.map(({ code, sessionId }) => [code, sessionId])).toEqual([
      ['key', 'worse first'],
      ['key', 'worse last'],
    ]);
    expect(keys).toEqual({ read: 9, written: 7, skipped: 2 });
    const { body } = await client().get('/keys/!twice:hs1?version=1');
    expect(body.sessions).toMatchObject({
      'worse first': { first_message_index: 2 },
      'worse last': { first_message_index: 2 },
    });
    await changesNothing();
  });

  it('skips a version that the source has twice, and a user whose newest it is', async () => {
    source.run('DROP INDEX e2e_room_keys_versions_idx');
    const twice = (userId: string, version: number) =>
      source
        .backup(userId, version)
        .keys(userId, version, 3)
        .backup(userId, version, { auth_data: authDataOf('another') });
    twice(ALICE, 1).backup(ALICE, 2).keys(ALICE, 2, 2).backup(BOB, 1);
    twice(BOB, 2);
    const { told, backups } = await run();
    expect(told.map(({ code, userId, version }) => [code, userId, version])).toEqual([
      ['backup', ALICE, '1'],
      ['newest-backup', BOB, '2'],
    ]);
    expect(backups).toMatchObject({ created: 1, skipped: 3 });
    expect(await info()).toMatchObject({ version: '2', count: 2 });
    expect(await info(undefined, 'bob')).toBe('M_NOT_FOUND');
    await changesNothing();
  });

  describe('of a backup that the source has broken', () => {
    const codes = ({ told }: { told: RoomKeysTransferIssue[] }) =>
      told.map(({ code, userId, version }) => [code, userId, version]);
    const repair = (version: number) =>
      source.change(ALICE, version, `auth_data = '${authDataOf(`key of ${ALICE} ${version}`)}'`);

    it.each([{ changedOnly: true }, {}])(
      'creates it once it is repaired, as if it had been the first import, %j',
      async (options) => {
        source
          .backup(ALICE, 1, { etag: 3, auth_data: '[]' })
          .keys(ALICE, 1, 7)
          .backup(ALICE, 2, { etag: 5 })
          .keys(ALICE, 2, 4)
          .backup(BOB, 1, { etag: 9, algorithm: '' })
          .keys(BOB, 1, 3);
        const first = await run(options);
        expect(codes(first)).toEqual([
          ['backup', ALICE, '1'],
          ['newest-backup', BOB, '1'],
        ]);
        expect(first.complete).toBe(false);
        expect(first.backups).toMatchObject({ created: 1, skipped: 2 });
        expect(codes(await changesNothing(options))).toEqual(codes(first));
        expect(await info()).toMatchObject({ version: '2', count: 4 });
        expect(await info(undefined, 'bob')).toBe('M_NOT_FOUND');

        repair(1).change(BOB, 1, `algorithm = '${ALGORITHM}'`);
        expect(await run(options)).toMatchObject({
          complete: true,
          backups: { created: 2, skipped: 0 },
          keys: { written: 10 },
          told: [],
        });
        expect(await info('1')).toMatchObject({ etag: '3', count: 7 });
        expect(await info()).toMatchObject({ version: '2', etag: '5', count: 4 });
        expect(await info(undefined, 'bob')).toMatchObject({ version: '1', etag: '9', count: 3 });
        expect(await changesNothing(options)).toMatchObject({ told: [] });
      },
    );

    it.each([
      ['its user', () => client().delete('/version/1')],
      [
        'an operator who erases the user',
        () => new RoomKeysMaintenance(application.dataSource).eraseUser(ALICE),
      ],
    ])('leaves it deleted where it was deleted by %s meanwhile', async (_, deleted) => {
      source.backup(ALICE, 1, { auth_data: '[]' }).keys(ALICE, 1, 2).backup(ALICE, 2);
      await run();
      await deleted();
      repair(1);
      expect(codes(await changesNothing())).toContainEqual(['deleted-here', ALICE, '1']);
      expect(await info('1')).toBe('M_NOT_FOUND');
    });

    it('leaves it deleted where it was created, and then deleted here', async () => {
      source.backup(ALICE, 1, { auth_data: '[]' }).keys(ALICE, 1, 2).backup(ALICE, 2);
      await run();
      repair(1);
      await run();
      await client().delete('/version/1');
      expect(codes(await changesNothing())).toEqual([['deleted-here', ALICE, '1']]);
      source.change(ALICE, 1, `auth_data = '[]'`);
      await changesNothing();
      repair(1);
      expect(codes(await changesNothing())).toEqual([['deleted-here', ALICE, '1']]);
    });

    describe('and that is the newest', () => {
      beforeEach(() => {
        source
          .backup(ALICE, 1, { etag: 1 })
          .keys(ALICE, 1, 2)
          .backup(ALICE, 2, { etag: 2 })
          .keys(ALICE, 2, 3);
      });
      const broken = () => source.backup(ALICE, 3, { etag: 3, auth_data: '{' }).keys(ALICE, 3, 4);
      const skipped = [['newest-backup', ALICE, '3']];

      it('leaves the user out, until it is repaired', async () => {
        broken();
        const { told, backups } = await run();
        expect(told).toEqual([
          {
            code: 'newest-backup',
            message:
              'auth_data is not JSON. This is the newest backup, so nothing of the user was imported.',
            userId: ALICE,
            version: '3',
          },
        ]);
        expect(backups).toMatchObject({ created: 0, skipped: 3 });
        for (const version of [undefined, '1', '2', '3']) {
          expect(await info(version)).toBe('M_NOT_FOUND');
        }
        expect(codes(await changesNothing())).toEqual(skipped);
        expect(codes(await changesNothing({ changedOnly: true }))).toEqual(skipped);

        repair(3);
        expect(await run()).toMatchObject({ backups: { created: 3 }, told: [] });
        expect(await info()).toMatchObject({ version: '3', etag: '3', count: 4 });
        expect(await info('1')).toMatchObject({ version: '1', count: 2 });
        await changesNothing();
      });

      it('leaves backups that are here as they are', async () => {
        await run();
        broken();
        source.keys(ALICE, 2, 1, 3).change(ALICE, 2, 'etag = 9').delete(ALICE, 1);
        expect(codes(await run({ followDeletions: true }))).toEqual(skipped);
        expect(await info('1')).toMatchObject({ version: '1', count: 2 });
        expect(await info()).toMatchObject({ version: '2', etag: '2', count: 3 });
        // clients go on here, and no other backup gets the version
        expect((await put('2', 'new')).status).toBe(200);
        repair(3);
        expect(await run()).toMatchObject({ backups: { created: 1, merged: 1 } });
        expect(await info()).toMatchObject({ version: '3', etag: '3', count: 4 });
        expect(await sessions('2')).toContain('new');
      });

      it('takes no key for any of its versions', async () => {
        broken();
        await run();
        for (const version of ['1', '2', '3']) {
          const { status, body } = await put(version, 'new');
          expect({ version, status, errcode: body.errcode }).toEqual({
            version,
            status: 404,
            errcode: 'M_NOT_FOUND',
          });
        }
      });

      it('lets the user make a new one, which stays the current one', async () => {
        broken();
        await run();
        expect(await client().createBackup()).toBe('4');
        expect((await put('4', 'new')).status).toBe(200);
        expect(codes(await changesNothing())).toEqual(skipped);
        repair(3);
        expect(await run()).toMatchObject({ backups: { created: 3 }, told: [] });
        expect(await info()).toMatchObject({ version: '4', count: 1 });
        expect(await info('3')).toMatchObject({ version: '3', count: 4 });
        await client().delete('/version/4');
        expect(await info()).toMatchObject({ version: '3' });
      });

      it('imports the others once the source, or the user, has deleted it', async () => {
        broken();
        await run();
        source.delete(ALICE, 3);
        expect(await run()).toMatchObject({ backups: { created: 2 }, told: [] });
        expect(await info()).toMatchObject({ version: '2' });
        source.backup(ALICE, 4, { auth_data: '{' });
        expect(codes(await run())).toEqual([['newest-backup', ALICE, '4']]);
        expect((await client().delete('/version/4')).status).toBe(200);
        expect(codes(await changesNothing())).toEqual([['deleted-here', ALICE, '4']]);
      });

      it('remembers it also where the source does not list it any more', async () => {
        broken();
        await run();
        source.run('DELETE FROM e2e_room_keys_versions WHERE version = 3');
        source.run('DELETE FROM e2e_room_keys WHERE version = 3');
        expect(await run()).toMatchObject({ backups: { created: 2 }, told: [] });
        await changesNothing();
        expect(await client().createBackup()).toBe('4');
        broken();
        repair(3);
        await run();
        expect(await info('3')).toMatchObject({ version: '3', count: 4 });
      });

      it('leaves the one that the user made here the current one', async () => {
        await client().createBackup({ public_key: 'made here' });
        await client().createBackup({ public_key: 'made here too' });
        await put('2', 'mine');
        broken();
        expect(codes(await run())).toEqual(skipped);
        expect(await info()).toMatchObject({ version: '2', count: 1 });
        repair(3);
        expect(codes(await changesNothing())).toContainEqual(['would-replace-current', ALICE, '3']);
      });

      it.each([
        ['the newest, leaves the user out', 3, ['M_NOT_FOUND', 'M_NOT_FOUND', 'M_NOT_FOUND']],
        ['an older one, skips it', 2, [{ count: 2 }, 'M_NOT_FOUND', { count: 4 }]],
      ])('where other keys are stored of %s', async (_, version, backups) => {
        source.backup(ALICE, 3, { etag: 3 }).keys(ALICE, 3, 4);
        if (version === 2) source.keys(ALICE, 2, 3, 3);
        await query(CORRUPTION[name].begin(version === 3 ? 3 : 5));
        try {
          expect(codes(await run())).toEqual([['verification', ALICE, String(version)]]);
          expect([await info('1'), await info('2'), await info('3')]).toMatchObject(backups);
          expect(await verify()).toEqual([]);
        } finally {
          await query(CORRUPTION[name].end);
        }
        expect(await run()).toMatchObject({ told: [] });
        expect(await info()).toMatchObject({ version: '3', etag: '3', count: 4 });
      });

      it('writes no key into a backup that is here where another one is stored', async () => {
        await run();
        source.keys(ALICE, 2, 3, 3).change(ALICE, 2, 'etag = 9');
        const before = await stored();
        await query(CORRUPTION[name].begin(5));
        try {
          expect(codes(await run())).toEqual([['verification', ALICE, '2']]);
          expect(await stored()).toEqual(before);
        } finally {
          await query(CORRUPTION[name].end);
        }
        expect(await run()).toMatchObject({ backups: { merged: 1 }, told: [] });
        expect(await info()).toMatchObject({ version: '2', etag: '9', count: 6 });
      });
    });
  });

  it('reports keys that belong to no backup of the source, and counts them and those it does not read', async () => {
    source
      .backup(ALICE, 1)
      .keys(ALICE, 1, 5)
      .keys(ALICE, 7, 2)
      .backup(BOB, 1, { auth_data: '[]' })
      .keys(BOB, 1, 3)
      .backup(BOB, 2, { deleted: 1 })
      .keys(BOB, 2, 4)
      .keys('@nobody:hs1', 1, 1);
    const states: { keys: number; keysInAll: number }[] = [];
    const { told, keys, issues } = await run({
      onProgress: ({ keys: done, keysInAll }) => states.push({ keys: done, keysInAll }),
    });
    expect(told).toEqual([
      expect.objectContaining({ code: 'newest-backup', userId: BOB }),
      {
        code: 'orphaned-keys',
        message: 'The source has 2 keys of this version, but not the version itself.',
        userId: ALICE,
        version: '7',
      },
      {
        code: 'orphaned-keys',
        message: 'The source has 1 key of this version, but not the version itself.',
        userId: '@nobody:hs1',
        version: '1',
      },
    ]);
    expect(issues).toEqual({ 'newest-backup': 1, 'orphaned-keys': 2 });
    expect(keys).toEqual({ read: 5, written: 5, skipped: 3 });
    expect(states.at(-1)).toEqual({ keys: 15, keysInAll: 15 });
    expect(await run({ userId: ALICE })).toMatchObject({ issues: { 'orphaned-keys': 1 } });
    await changesNothing();
  });

  it('broken off anywhere, leaves nothing half done, and goes on where it is begun again', async () => {
    source
      .backup(ALICE, 1, { etag: 2 })
      .keys(ALICE, 1, 1100)
      .backup(ALICE, 2, { etag: 3 })
      .keys(ALICE, 2, 1100)
      .backup(BOB, 4, { etag: 9 })
      .keys(BOB, 4, 10);
    const reason = new Error('enough');
    for (let steps = 1; ; steps++) {
      const stopping = new AbortController();
      let step = 0;
      const outcome = await run({
        signal: stopping.signal,
        onProgress: () => ++step === steps && stopping.abort(reason),
      }).catch((error: unknown) => error);
      // alice has both of her backups, or none
      const alice = await info();
      expect(alice === 'M_NOT_FOUND' || alice.version === '2').toBe(true);
      if (alice !== 'M_NOT_FOUND')
        expect(await info('1')).toMatchObject({ etag: '2', count: 1100 });
      expect(await verify()).toEqual([]);
      if (outcome !== reason) break;
    }
    expect(await info(undefined, 'bob')).toMatchObject({ version: '4', etag: '9', count: 10 });
    await changesNothing();
    // what the attempts left is swept at once, without a wait for any lease
    await new RoomKeysMaintenance(application.dataSource).sweep();
    const [left] = await query('SELECT COUNT(*) AS sets FROM room_keys_key_sets');
    expect(Number(left?.sets)).toBe(3);
    const [rows] = await query('SELECT COUNT(*) AS count FROM room_keys_keys');
    expect(Number(rows?.count)).toBe(2210);
  });

  it('that was killed leaves what the sweeper removes after its time, and not before', async () => {
    await query('INSERT INTO room_keys_key_sets (retired_at) VALUES (?)', [Date.now() + 3_000_000]);
    const maintenance = new RoomKeysMaintenance(application.dataSource);
    expect(await maintenance.sweep()).toEqual({ keySets: 0, rooms: 0, rows: 0 });
    expect((await maintenance.statistics()).waiting.keySets).toBe(0);
    await query('UPDATE room_keys_key_sets SET retired_at = ?', [Date.now() - 1]);
    expect(await maintenance.sweep()).toEqual({ keySets: 1, rooms: 0, rows: 0 });
  });

  it.each([
    ['few new keys', 300],
    ['so many that they take more than one transaction', 2500],
  ])('loses nothing of what clients store meanwhile, with %s', async (_, count) => {
    source.backup(ALICE, 1, { etag: 2 }).keys(ALICE, 1, 1500);
    await run();
    source.keys(ALICE, 1, count, 1500).change(ALICE, 1, 'etag = 30');
    const uploads: Promise<{ status: number }>[] = [];
    await run({
      onProgress: () => uploads.push(put('1', `uploaded ${uploads.length}`)),
    });
    for (const { status } of await Promise.all(uploads)) expect(status).toBe(200);
    await run();
    const found = await sessions('1');
    uploads.forEach((_upload, n) => {
      expect(found).toContain(`uploaded ${n}`);
    });
    expect(found).toHaveLength(1500 + count + uploads.length);
  });

  describe('while the user is at it', () => {
    /** Does something all the time, as long as the work takes. */
    const during = async <T>(
      act: (n: number) => Promise<{ status: number; body: { errcode?: string } }>,
      work: () => Promise<T>,
    ) => {
      const over = new AbortController();
      const answers: string[] = [];
      const acting = (async () => {
        while (!over.signal.aborted) {
          const { status, body } = await act(answers.length);
          answers.push(status === 200 ? 'done' : String(body.errcode));
          await setTimeout(5);
        }
      })();
      const result = await work().finally(() => over.abort());
      await acting;
      return { result, answers };
    };

    beforeEach(async () => {
      source.backup(ALICE, 1, { etag: 7 }).keys(ALICE, 1, 5);
      await run();
      source.backup(ALICE, 2, { etag: 3 }).keys(ALICE, 2, 6000);
      source.backup('@carol:hs1', 1, { etag: 3 }).keys('@carol:hs1', 1, 3);
    });

    it('takes a newer backup, and whoever comes after the user, and keeps each key that was stored', async () => {
      const { result, answers } = await during(
        (n) => put('1', `uploaded ${n}`),
        () => run(),
      );
      expect(result).toMatchObject({ backups: { created: 2 }, verified: { backups: 3 }, told: [] });
      expect(await info()).toMatchObject({ version: '2', etag: '3', count: 6000 });
      expect(await info(undefined, 'carol')).toMatchObject({ version: '1', count: 3 });
      const stored = answers.filter((answer) => answer === 'done').length;
      expect(stored).toBeGreaterThan(2);
      // from one moment on there is a newer one
      expect(new Set(answers.slice(stored))).toEqual(
        new Set(stored < answers.length ? ['M_WRONG_ROOM_KEYS_VERSION'] : []),
      );
      expect(await sessions('1')).toHaveLength(5 + stored);
      await changesNothing();
    });

    it('merges into one and creates a newer one, and keeps each key that was stored', async () => {
      source.keys(ALICE, 1, 4000, 5).change(ALICE, 1, 'etag = 50');
      const { result, answers } = await during(
        (n) => put('1', `uploaded ${n}`),
        () => run(),
      );
      expect(result).toMatchObject({ backups: { created: 2, merged: 1 }, told: [] });
      expect(await info()).toMatchObject({ version: '2', etag: '3', count: 6000 });
      const stored = answers.filter((answer) => answer === 'done').length;
      expect(await sessions('1')).toHaveLength(4005 + stored);
      await changesNothing();
    });

    it('leaves the user the backup that the source deleted, and that keys are stored in', async () => {
      source.delete(ALICE, 1);
      const { result, answers } = await during(
        (n) => put('1', `uploaded ${n}`),
        () => run(),
      );
      expect(result.told.map(({ code }) => code).sort()).toEqual([
        'deleted-in-source',
        'would-replace-current',
      ]);
      expect(new Set(answers)).toEqual(new Set(['done']));
      expect(await info()).toMatchObject({ version: '1', count: 5 + answers.length });
      expect(await info(undefined, 'carol')).toMatchObject({ version: '1', count: 3 });
    });
  });

  it('gives up a user whose changes make each decision wrong, and imports the others', async () => {
    source.backup(ALICE, 100).keys(ALICE, 100, 3).backup(BOB, 1).keys(BOB, 1, 2);
    const { attach } = ImportRepository.prototype;
    let attempts = 0;
    ImportRepository.prototype.attach = async function (userId, ...decided) {
      if (userId !== ALICE) return attach.call(this, userId, ...decided);
      attempts += 1;
      // the user has a current backup that was made here, but only for this moment
      const version = await client().createBackup();
      await attach.call(this, userId, ...decided).finally(async () => {
        await client().delete(`/version/${version}`);
      });
    };
    let last: RoomKeysTransferProgress | undefined;
    try {
      expect(await run({ onProgress: (progress) => (last = progress) })).toMatchObject({
        complete: false,
        users: 2,
        backups: { created: 1, skipped: 1 },
        told: [
          {
            code: 'in-use',
            userId: ALICE,
            message: `Clients changed the user's backups during each of ${attempts} attempts. Run the import again.`,
          },
        ],
      });
    } finally {
      ImportRepository.prototype.attach = attach;
    }
    expect(attempts).toBe(5);
    expect(last).toMatchObject({ users: 2, usersInAll: 2, keys: 5, keysInAll: 5 });
    expect(await info()).toBe('M_NOT_FOUND');
    expect(await run()).toMatchObject({ backups: { created: 1 }, told: [] });
    expect(await info()).toMatchObject({ version: '100', count: 3 });
  });

  it('does not replace an acknowledged key by a worse one', async () => {
    const rank = { first_message_index: 2, forwarded_count: 0, is_verified: true };
    const change = (given: Rank, etag: number) => {
      source.run('DELETE FROM e2e_room_keys');
      source.key(ALICE, 1, '!room0:hs1', 's0', {
        ...given,
        is_verified: given.is_verified ? 1 : 0,
      });
      source.change(ALICE, 1, `etag = ${etag}`);
    };
    source.backup(ALICE, 1, { etag: 0 });
    change(rank, 1);
    await run();
    // nothing is to be written: the same is there
    expect((await put('1', 's0', rank)).body).toEqual({ count: 1, etag: '1' });
    expect((await put('1', 's0', rank)).body).toEqual({ count: 1, etag: '1' });
    change({ ...rank, is_verified: false }, 2);
    await run();
    const path = `${keyPath('!room0:hs1', 's0')}?version=1`;
    expect((await client().get(path)).body).toMatchObject(rank);
    await changesNothing();
  });

  it('whatever happens on both sides: no key of a backup that both have is lost or gets worse', async () => {
    const rank = fc.record({
      first_message_index: fc.nat(2),
      forwarded_count: fc.nat(1),
      is_verified: fc.boolean(),
    });
    const step = fc.oneof(
      fc.record({ at: fc.constant('here' as const), session: fc.nat(3), rank }),
      fc.record({ at: fc.constant('there' as const), session: fc.nat(3), rank }),
      fc.record({ at: fc.constant('import' as const), session: fc.nat(0), rank }),
    );
    const worst = { first_message_index: 9, forwarded_count: 9, is_verified: false };
    const better = (one: Rank, other: Rank) =>
      Number(other.is_verified) - Number(one.is_verified) ||
      one.first_message_index - other.first_message_index ||
      one.forwarded_count - other.forwarded_count;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        for (const table of TABLES) await query(`DELETE FROM room_keys_${table}`);
        source.run('DELETE FROM e2e_room_keys');
        source.run('DELETE FROM e2e_room_keys_versions');
        source.backup(ALICE, 1, { etag: 0 });
        await run();
        const etags = new Map<string, string>();
        const here = new Map<string, Rank>();
        let etag = 0;
        for (const { at, session, rank: given } of [
          ...steps,
          { at: 'import' as const, session: 0, rank: worst },
        ]) {
          const id = `s${session}`;
          if (at === 'here') {
            await put('1', id, given);
            const before = here.get(id);
            if (!before || better(given, before) < 0) here.set(id, given);
          } else if (at === 'there') {
            source.run('DELETE FROM e2e_room_keys WHERE session_id = ?', [id]);
            source.key(ALICE, 1, '!room0:hs1', id, {
              ...given,
              is_verified: given.is_verified ? 1 : 0,
            });
            source.change(ALICE, 1, `etag = ${++etag}`);
          } else await run();
          const { text } = await client().get('/keys?version=1');
          const state = await info();
          // one etag never stands for two states
          const known = etags.get(state.etag) ?? text;
          expect(canonical(text)).toBe(canonical(known));
          etags.set(state.etag, text);
          for (const [name, least] of here) {
            const path = `${keyPath('!room0:hs1', name)}?version=1`;
            expect(better((await client().get(path)).body, least)).toBeLessThanOrEqual(0);
          }
        }
        await changesNothing();
      }),
      { numRuns: 12 },
    );
  });
});

/** Spoils the keys of one backup on their way into the database. */
/** Spoils a key on its way into the database. */
const mysqlCorruption = {
  begin: (seq: number) => `CREATE TRIGGER corruption BEFORE INSERT ON room_keys_keys FOR EACH ROW
    SET NEW.forwarded_count = IF(NEW.seq = ${seq}, 99, NEW.forwarded_count)`,
  end: 'DROP TRIGGER corruption',
};
const CORRUPTION: Record<DatabaseName, { begin: (seq: number) => string; end: string }> = {
  SQLite: {
    begin: (seq) => `CREATE TRIGGER corruption AFTER INSERT ON room_keys_keys WHEN NEW.seq = ${seq}
      BEGIN UPDATE room_keys_keys SET forwarded_count = 99
        WHERE key_set_id = NEW.key_set_id AND room_no = NEW.room_no AND seq = NEW.seq; END`,
    end: 'DROP TRIGGER corruption',
  },
  MariaDB: mysqlCorruption,
  MySQL: mysqlCorruption,
  PostgreSQL: {
    begin: (seq) => `CREATE FUNCTION corrupted() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.seq = ${seq} THEN NEW.forwarded_count := 99; END IF; RETURN NEW; END $$;
      CREATE TRIGGER corruption BEFORE INSERT ON room_keys_keys FOR EACH ROW EXECUTE FUNCTION corrupted()`,
    end: 'DROP FUNCTION corrupted CASCADE',
  },
};

interface Rank {
  first_message_index: number;
  forwarded_count: number;
  is_verified: boolean;
}

/** The keys of one room, in the order of their names: two answers may have them in another. */
function canonical(text: string): string {
  const { rooms } = JSON.parse(text) as { rooms: Record<string, { sessions: object }> };
  return JSON.stringify(
    Object.entries(rooms).map(([id, { sessions }]) => [id, Object.entries(sessions).sort()]),
  );
}
