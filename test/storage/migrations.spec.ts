/** Proves that the migrations make the tables that the entities describe, on each database, also when several servers start at once. */
import { hash } from 'node:crypto';
import { DataSource } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations, runMigrations } from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { idHash } from '../../src/room-keys/storage/rows.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { numberOf, query } from '../support/sql.js';

describe.each(databases)('migrations on $name', ({ create }) => {
  let database: TestDatabase;
  const opened: DataSource[] = [];

  beforeEach(async () => {
    database = await create();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.destroy()));
    await database.drop();
  });

  const openOne = async (more: object = {}) => {
    const options = {
      ...database.dataSourceOptions,
      entities: roomKeysEntities(database.dataSourceOptions.type),
      migrations: roomKeysMigrations,
      ...more,
    };
    const dataSource = await new DataSource(options).initialize();
    opened.push(dataSource);
    return dataSource;
  };
  const open = openOne;
  const drift = async (dataSource: DataSource) => {
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    return upQueries.map(({ query }) => query);
  };
  const tables = async (dataSource: DataSource) => {
    const runner = dataSource.createQueryRunner();
    const names = await Promise.all(
      dataSource.entityMetadatas.map(async ({ tablePath }) =>
        (await runner.hasTable(tablePath)) ? tablePath : '',
      ),
    );
    await runner.release();
    return names.filter((name) => name !== '');
  };

  it('leave no difference to the entities', async () => {
    const dataSource = await open();
    expect(await drift(dataSource)).not.toEqual([]);
    await dataSource.runMigrations();
    expect(await drift(dataSource)).toEqual([]);
    expect(await tables(dataSource)).toHaveLength(9);
  });

  it('keep to the entity prefix of the DataSource', async () => {
    const dataSource = await open({ entityPrefix: 'hs_' });
    await dataSource.runMigrations();
    expect(await drift(dataSource)).toEqual([]);
    expect(await tables(dataSource)).toContain('hs_room_keys_users');
  });

  it('can be undone and done again', async () => {
    const dataSource = await open();
    await dataSource.runMigrations();
    for (const migration of roomKeysMigrations) {
      expect(migration.name).not.toBe('');
      await dataSource.undoLastMigration();
    }
    expect(await tables(dataSource)).toEqual([]);
    await dataSource.runMigrations();
    expect(await drift(dataSource)).toEqual([]);
  });

  it('carry the keys of an earlier version on', async () => {
    const before = await open({ migrations: roomKeysMigrations.slice(0, 4) });
    await before.runMigrations();
    const bytes = (text: string) => Buffer.from(text);
    await query(
      before,
      'INSERT INTO room_keys_users (user_id, last_version, current_version) VALUES (?, 1, 1)',
      [bytes('@alice:hs1')],
    );
    await query(before, 'INSERT INTO room_keys_key_sets (key_set_id) VALUES (7)');
    await query(
      before,
      `INSERT INTO room_keys_backups (user_id, version, key_set_id, algorithm, auth_data, etag, key_count, byte_count,
         largest_key, next_seq, created_at, changed_at) VALUES (?, 1, 7, ?, '{}', 3, 3, 21, 7, 4, 1, 1)`,
      [bytes('@alice:hs1'), bytes('m.megolm_backup.v1.curve25519-aes-sha2')],
    );
    const rooms = [
      ['!a:hs1', 0, ['s0', 's1']],
      ['!b:hs1', 2, ['s2']],
      ['!empty:hs1', 3, []],
    ] as const;
    let seq = 0;
    for (const [roomId, roomNo, sessions] of rooms) {
      await query(before, 'INSERT INTO room_keys_rooms VALUES (7, ?, ?)', [bytes(roomId), roomNo]);
      for (const sessionId of sessions) {
        await query(
          before,
          `INSERT INTO room_keys_keys (key_set_id, room_no, seq, id_hash, session_id, first_message_index,
             forwarded_count, is_verified, session_data) VALUES (7, ?, ?, ?, ?, 0, 0, 0, '{"x":1}')`,
          [roomNo, seq++, Buffer.from(idHash({ roomId, sessionId }), 'hex'), bytes(sessionId)],
        );
      }
    }
    const dataSource = await open();
    await dataSource.runMigrations();
    expect(await drift(dataSource)).toEqual([]);
    const findings: unknown[] = [];
    for await (const finding of new RoomKeysMaintenance(dataSource).verify())
      findings.push(finding);
    expect(findings).toEqual([]);
    expect(await new RoomKeysMaintenance(dataSource).summary('@alice:hs1')).toMatchObject({
      count: 3,
      bytes: 21,
    });
  });

  it('carry on what earlier versions remembered of imports', async () => {
    const before = await open({ migrations: roomKeysMigrations.slice(0, 5) });
    await before.runMigrations();
    const bytes = (text: string) => Buffer.from(text);
    const users: [name: string, lastVersion: number, withheld: string | null][] = [
      ['@alice:hs1', 3, '1,3'],
      ['@bob:hs1', 2, null],
    ];
    for (const [name, lastVersion, withheld] of users) {
      await query(
        before,
        'INSERT INTO room_keys_users (user_id, last_version, current_version, withheld_versions) VALUES (?, ?, NULL, ?)',
        [bytes(name), lastVersion, withheld],
      );
    }
    const backups: [name: string, version: number, mirrored: number | null][] = [
      ['@alice:hs1', 2, 4],
      ['@bob:hs1', 1, 3],
      ['@bob:hs1', 2, null],
    ];
    for (const [n, [name, version, mirrored]] of backups.entries()) {
      await query(before, 'INSERT INTO room_keys_key_sets (key_set_id) VALUES (?)', [n + 1]);
      await query(
        before,
        `INSERT INTO room_keys_backups (user_id, version, key_set_id, algorithm, auth_data, etag, key_count, byte_count,
           largest_key, next_seq, created_at, changed_at, mirrored_etag) VALUES (?, ?, ?, ?, '{}', 4, 0, 0, 0, 0, 1, 1, ?)`,
        [bytes(name), version, n + 1, bytes('m.megolm_backup.v1.curve25519-aes-sha2'), mirrored],
      );
    }
    await query(before, 'UPDATE room_keys_users SET current_version = 2 WHERE user_id = ?', [
      bytes('@bob:hs1'),
    ]);
    const dataSource = await open();
    const remembered = async () =>
      (
        await query<Record<string, unknown>>(
          dataSource,
          'SELECT * FROM room_keys_imports ORDER BY user_id, version',
        )
      ).map((row) => [
        String(row.user_id),
        ...[row.version, row.source_etag, row.etag].map((value) => value && Number(value)),
        row.auth_data_hash && (row.auth_data_hash as Buffer).toString('hex'),
      ]);
    const reserved = [
      ['@alice:hs1', 1, null, null, null],
      ['@alice:hs1', 3, null, null, null],
    ];
    await dataSource.runMigrations();
    expect(await drift(dataSource)).toEqual([]);
    // a backup that was changed since is none that an import would take for its own
    expect(await remembered()).toEqual([
      reserved[0],
      ['@alice:hs1', 2, 4, 4, hash('sha256', '{}')],
      reserved[1],
    ]);
    const findings: unknown[] = [];
    for await (const finding of new RoomKeysMaintenance(dataSource).verify())
      findings.push(finding);
    expect(findings).toEqual([]);
    expect((await new RoomKeysMaintenance(dataSource).summary('@alice:hs1')).backups).toMatchObject(
      [{ version: '2', isCurrent: true }],
    );
    // that of deletions and history, and the one in question
    for (let n = 0; n < 2; n += 1) await dataSource.undoLastMigration();
    await dataSource.runMigrations();
    expect(await remembered()).toEqual(reserved);
  });

  it('are run once when four servers start at once', async () => {
    // as the server sets it: while SQLite itself waits, the whole process is blocked
    const open = () => openOne({ timeout: 100 });
    const servers = await Promise.all([open(), open(), open(), open()]);
    const failed: string[] = [];
    for (const { logger } of servers) {
      logger.logMigration = (message) => {
        if (message.includes('failed')) failed.push(message);
      };
    }
    const ran = await Promise.all(servers.map(runMigrations));
    expect(ran.flat()).toEqual(roomKeysMigrations.map(({ name }) => name));
    expect(failed).toEqual([]);
    const [first] = servers;
    expect(await drift(first)).toEqual([]);
    expect(await numberOf(first, 'SELECT COUNT(*) FROM migrations')).toBe(
      roomKeysMigrations.length,
    );
  });

  it('make the same tables as a host that synchronizes its schema', async () => {
    const dataSource = await open({ migrations: [] });
    await dataSource.synchronize();
    expect(await tables(dataSource)).toHaveLength(9);
    // A column that compares without regard to case would show here.
    for (const id of ['Order-1', 'order-1', 'order-1 ']) {
      await query(
        dataSource,
        'INSERT INTO room_keys_rooms (key_set_id, room_id, room_no) VALUES (1, ?, 1)',
        [Buffer.from(id)],
      );
    }
    expect(
      await numberOf(dataSource, 'SELECT COUNT(*) FROM room_keys_rooms WHERE room_id = ?', [
        Buffer.from('order-1'),
      ]),
    ).toBe(1);
  });

  it('after a schema was synchronized lose nothing, or say how to go on', async () => {
    const dataSource = await open();
    await dataSource.synchronize();
    await query(
      dataSource,
      'INSERT INTO room_keys_users (user_id, last_version, revision) VALUES (?, 7, 0)',
      [Buffer.from('@alice:hs1')],
    );
    const said = await dataSource.runMigrations().then(
      () => '',
      (error: unknown) => (error as Error).message,
    );
    if (said !== '') {
      expect(said).toMatch(/^RoomKeysModule: .*runMigrations\(\{ fake: true \}\)/);
      await dataSource.runMigrations({ fake: true });
    }
    expect(await dataSource.showMigrations()).toBe(false);
    expect(await drift(dataSource)).toEqual([]);
    expect(await numberOf(dataSource, 'SELECT last_version FROM room_keys_users')).toBe(7);
  });
});
