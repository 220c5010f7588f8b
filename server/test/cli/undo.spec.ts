/**
 * Proves what an operator does about deleted backups: the history that explains a refused upload, `user restore`, what
 * erasing a user means for it and for imports, and what `stats` and `sweep` tell of rows that wait.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { startApplication, type TestApplication } from '../../../test/support/application.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';
import { query } from '../../../test/support/sql.js';
import { HomeserverTables } from '../../../test/transfer/homeserver-tables.js';
import { run } from '../../src/cli/program.js';

const ALICE = '@alice:hs1';
const batch = (count: number) =>
  roomsBody(
    Array.from({ length: count }, (_, n) => [`!r${n % 3}:hs1`, `s${n}`, keyData()] as const),
  );

describe.each(databases)('deleted backups and their operator on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let phone: MatrixClient;
  let laptop: MatrixClient;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database, { keepDeletedDays: 7 });
    phone = application.client('alice/PHONE');
    laptop = application.client('alice/LAPTOP');
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  /** In this process: one of its own takes a second, and others prove that it is the same. */
  const onDatabase = async (...args: string[]) => {
    const spoken = { out: '', err: '' };
    const ears = (['stdout', 'stderr'] as const).map((stream) =>
      jest.spyOn(process[stream], 'write').mockImplementation((text) => {
        spoken[stream === 'stdout' ? 'out' : 'err'] += String(text);
        return true;
      }),
    );
    const before = process.exitCode;
    try {
      return { code: (await run([...args, '--database', database.url])) ?? 0, ...spoken };
    } finally {
      process.exitCode = before;
      for (const ear of ears) ear.mockRestore();
    }
  };
  const printed = async (...args: string[]) => {
    const { code, out, err } = await onDatabase(...args);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return out.trim().split('\n');
  };
  const asJson = async (...args: string[]) => JSON.parse((await onDatabase(...args, '--json')).out);

  it('the history says which change made the uploads of a device be refused', async () => {
    await phone.createBackup();
    await phone.put('/keys?version=1', batch(5));
    // the laptop's user resets encryption there
    await laptop.delete('/version/1');
    await laptop.createBackup();
    expect((await phone.put('/keys?version=1', batch(6))).body).toMatchObject({
      errcode: 'M_NOT_FOUND',
    });
    await laptop.createBackup();
    expect((await laptop.put('/keys?version=2', batch(6))).body).toMatchObject({
      errcode: 'M_WRONG_ROOM_KEYS_VERSION',
      current_version: '3',
    });

    const lines = await printed('user', 'show', ALICE, '--history');
    expect(lines.map((line) => line.replace(/^\S+T\S+Z +/, '').replace(/ {2,}/g, ' | '))).toEqual([
      'version 1 | created | 0 keys | etag 0 | by PHONE | current: none → 1',
      'version 1 | deleted | 5 keys | etag 1 | by LAPTOP | current: 1 → none',
      'version 2 | created | 0 keys | etag 0 | by LAPTOP | current: none → 2',
      'version 3 | created | 0 keys | etag 0 | by LAPTOP | current: 2 → 3',
    ]);
  });

  it('a reset backup is restored as the current one, and one under its number is not read by clients', async () => {
    await phone.createBackup({ public_key: 'old' });
    await phone.put('/keys?version=1', batch(5));
    await phone.delete('/version/1');
    await phone.createBackup({ public_key: 'new' });

    expect(await printed('user', 'restore', ALICE, '--list')).toEqual([
      expect.stringMatching(
        /^version 1 {2}the backup {2}5 keys {2}deleted \S+Z {2}kept until \S+Z$/,
      ),
    ]);
    const [dry] = await printed('user', 'restore', ALICE, '--as-current', '--dry-run');
    expect(dry).toBe(`This would restore version 1 of ${ALICE} under a new version:`);
    expect((await phone.get('/version')).body).toMatchObject({ version: '2' });

    expect(await printed('user', 'restore', ALICE, '--version', '1')).toEqual([
      `Restored version 1 of ${ALICE}: it has 5 keys now.`,
      'The current backup is version 2, and clients read only that one. To make this one current, run the command again with --version 1 --as-current.',
    ]);
    expect((await phone.get('/version/1')).body).toMatchObject({ count: 5, etag: '2' });
    expect((await phone.get('/version')).body).toMatchObject({ version: '2' });

    expect(await printed('user', 'restore', ALICE, '--version', '1', '--as-current')).toEqual([
      `Restored version 1 of ${ALICE} as version 3: it has 5 keys now.`,
      'It is the current backup. To read it, the user enters its recovery key.',
    ]);
    expect((await phone.get('/version')).body).toMatchObject({
      version: '3',
      auth_data: { public_key: 'old' },
      count: 5,
      etag: '3',
    });
    expect((await phone.get('/keys?version=3')).body).toEqual(batch(5));
    expect((await phone.get('/version/1')).status).toBe(404);
    expect((await phone.get('/version/2')).status).toBe(200);
    expect((await phone.put('/keys?version=3', batch(7))).body).toMatchObject({ count: 7 });
    expect(await onDatabase('user', 'restore', ALICE, '--version', '1')).toMatchObject({
      code: 1,
      err: `Nothing of version 1 of ${ALICE} can be restored. Use --list to see what can.\n`,
    });
    expect((await onDatabase('verify')).code).toBe(0);
  });

  it('deleted keys come back by the rule, and what is kept is counted until it is erased', async () => {
    const GOOD = keyData({ first_message_index: 1, session_data: { x: 'good' } });
    const BEST = keyData({ first_message_index: 0, session_data: { x: 'best' } });
    const WORSE = keyData({ first_message_index: 9, session_data: { x: 'worse' } });
    await phone.createBackup();
    const put = (...keys: [string, object][]) =>
      phone.put('/keys?version=1', roomsBody(keys.map(([id, key]) => ['!r:hs1', id, key])));
    await put(['a', GOOD], ['b', GOOD], ['c', GOOD]);
    await phone.delete('/keys/!r:hs1/c?version=1');
    await phone.delete('/keys/!r:hs1?version=1');
    await put(['a', WORSE], ['b', BEST]);
    expect(await asJson('stats')).toMatchObject({
      keys: 2,
      waiting: { keySets: 0, rooms: 0 },
      kept: { deletions: 2, keys: 3 },
    });
    expect((await printed('stats')).join('\n')).toMatch(
      /^Kept +2 deletions with 3 keys that user restore can undo, the last until \S+Z$/m,
    );
    // time alone removes it
    expect(await printed('sweep', '--now')).toEqual([
      'Nothing to sweep.',
      expect.stringMatching(/^Kept +2 deletions with 3 keys/),
    ]);

    const etag = Number((await phone.get('/version')).body.etag);
    expect((await printed('user', 'restore', ALICE))[0]).toBe(
      `Restored version 1 of ${ALICE}: it has 3 keys now, 2 keys of them merged into it.`,
    );
    expect((await phone.get('/keys?version=1')).body).toEqual(
      roomsBody([
        ['!r:hs1', 'a', GOOD],
        ['!r:hs1', 'b', BEST],
        ['!r:hs1', 'c', GOOD],
      ]),
    );
    expect(Number((await phone.get('/version')).body.etag)).toBeGreaterThan(etag);
    expect(await onDatabase('user', 'restore', ALICE)).toMatchObject({ code: 1 });

    await phone.delete('/keys?version=1');
    const erased = await printed('user', 'erase', ALICE, '--yes');
    expect(erased).toEqual([
      `Erased 1 backup with 0 keys of ${ALICE}, and 1 deletion that could have been undone.`,
      `Imports skip the user from now on. To import the user again, run the import with --user '${ALICE}' --again.`,
    ]);
    expect(await asJson('stats')).toMatchObject({
      kept: { deletions: 0 },
      waiting: { keySets: 0 },
    });
    expect(await asJson('user', 'show', ALICE, '--history')).toMatchObject({
      history: [{ what: 'erased', count: 0 }],
    });
    const { out } = await onDatabase('user', 'restore', ALICE, '--list');
    expect(out).toBe(`Nothing of ${ALICE} can be restored.\n`);
    for (const table of ['keys', 'key_sets', 'rooms', 'retired_rooms', 'deleted']) {
      expect(await query(application.dataSource, `SELECT * FROM room_keys_${table}`)).toEqual([]);
    }
  });

  it('a user who was erased after a trial import is imported again by --again alone', async () => {
    const source = new HomeserverTables();
    source.backup(ALICE, 1, { etag: 4 }).keys(ALICE, 1, 10).backup(ALICE, 2).keys(ALICE, 2, 3);
    const from = ['import', 'synapse', '--from', `sqlite:${source.file}`];
    try {
      expect(await onDatabase(...from)).toMatchObject({ code: 0 });
      await onDatabase('user', 'erase', ALICE, '--yes');
      for (const more of [[], ['--user', ALICE], ['--changed']]) {
        const { code, out } = await onDatabase(...from, ...more);
        expect(code).toBe(1);
        expect(out).toContain(
          `left-out: ${ALICE} version 2: Nothing of the user was imported: the user was erased here, or deleted every backup here. To import the user again, import this user alone with --again.\n`,
        );
      }
      expect(await onDatabase(...from, '--again')).toMatchObject({
        code: 2,
        err: 'Set --user with --again, which imports one user again.\n',
      });
      expect(await onDatabase(...from, '--user', ALICE, '--again')).toMatchObject({ code: 0 });
      expect((await phone.get('/version/1')).body).toMatchObject({ count: 10, etag: '4' });
      expect((await phone.get('/version')).body).toMatchObject({ version: '2', count: 3 });
      // as after any import
      expect(await onDatabase(...from)).toMatchObject({ code: 0 });
      expect(await asJson('user', 'show', ALICE, '--history')).toMatchObject({
        history: [{ what: 'erased', count: 13 }, { what: 'imported' }, { what: 'imported' }],
      });
      // who deletes a backup decides so: an import of everybody is complete
      for (const version of ['1', '2']) await phone.delete(`/version/${version}`);
      expect(await onDatabase(...from)).toMatchObject({ code: 0 });
      expect(await onDatabase(...from, '--user', ALICE)).toMatchObject({ code: 1 });
      expect((await onDatabase('verify')).code).toBe(0);
    } finally {
      source.drop();
    }
  });

  it('stats and sweep report rows that an import left, and sweep --now removes them', async () => {
    // as an import leaves it that is killed
    const until = Date.now() + 3_000_000;
    await query(
      application.dataSource,
      `INSERT INTO room_keys_key_sets (retired_at) VALUES (${until})`,
    );
    const [set] = await query<{ id: number }>(
      application.dataSource,
      'SELECT key_set_id AS id FROM room_keys_key_sets',
    );
    for (let n = 0; n < 3; n += 1) {
      await query(
        application.dataSource,
        `INSERT INTO room_keys_keys (key_set_id, room_no, seq, id_hash, session_id, first_message_index,
           forwarded_count, is_verified, session_data) VALUES (?, 0, ?, ?, ?, 0, 0, 0, '{}')`,
        [Number(set?.id), n, Buffer.alloc(16, n), Buffer.from(`s${n}`)],
      );
    }
    const left =
      /^Import +3 keys of an import that is running or was interrupted, not yet part of a backup: removed after \S+Z, or by sweep --now$/m;
    expect((await printed('stats')).join('\n')).toMatch(left);
    const [nothing, ...more] = await printed('sweep');
    expect(nothing).toBe('Nothing to sweep.');
    expect(more.join('\n')).toMatch(left);
    expect(await asJson('stats')).toMatchObject({
      staged: { keySets: 1, keys: 3 },
      waiting: { keySets: 0 },
    });
    // a deletion that can be undone stays
    await phone.createBackup();
    await phone.put('/keys?version=1', batch(2));
    await phone.delete('/version/1');
    await sleep(2);
    const [removed, ...rest] = await printed('sweep', '--now');
    expect(removed).toBe('Removed 1 key set and 0 deleted rooms with 3 keys.');
    expect(rest).toEqual([expect.stringMatching(/^Kept +1 deletion with 2 keys/)]);
    expect((await printed('user', 'restore', ALICE))[0]).toBe(
      `Restored version 1 of ${ALICE}: it has 2 keys now.`,
    );
  });
});
