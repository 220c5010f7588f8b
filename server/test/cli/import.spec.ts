/**
 * Proves `import` and `export` as an operator meets them, as processes: what they print, their exit
 * codes, the report, that nothing secret is printed, and that a signal at any time does no harm.
 */
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations } from '../../../src/index.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { HomeserverTables } from '../../../test/transfer/homeserver-tables.js';
import { buildCommands, command, startCommand } from './run-command.js';

const ALICE = '@alice:hs1';

/** Without a process of its own, which takes a second. */
async function migrate({ dataSourceOptions }: TestDatabase): Promise<void> {
  const dataSource = await new DataSource({
    ...dataSourceOptions,
    entities: roomKeysEntities(dataSourceOptions.type),
    migrations: roomKeysMigrations,
  }).initialize();
  await dataSource.runMigrations();
  await dataSource.destroy();
}

describe.each(databases)('import and export on $name', ({ create }) => {
  let folder: string;
  let database: TestDatabase;
  let source: HomeserverTables;

  beforeAll(async () => {
    await buildCommands();
    folder = await mkdtemp(join(tmpdir(), 'room-keys-import-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    database = await create();
    await migrate(database);
    source = new HomeserverTables();
  });
  afterEach(async () => {
    source.drop();
    await database.drop();
  });

  const onDatabase = (...args: string[]) => command(args, { DATABASE_URL: database.url });
  const json = async (...args: string[]) => {
    const { code, out, err } = await onDatabase(...args, '--json');
    return { code, err, body: JSON.parse(out) };
  };

  const untilStaging = async (ended: Promise<unknown>) => {
    const dataSource = await new DataSource(database.dataSourceOptions).initialize();
    const over = new AbortController();
    void ended.then(() => {
      over.abort();
    });
    for (let rows: unknown[] = []; rows.length === 0 && !over.signal.aborted;) {
      await sleep(5);
      rows = await dataSource.query('SELECT 1 FROM room_keys_keys LIMIT 1');
    }
    await dataSource.destroy();
  };

  it('report what was imported, and what was not: exit code 1, and all of it in the report', async () => {
    source
      .backup(ALICE, 1, { etag: 4 })
      .keys(ALICE, 1, 1200)
      .key(ALICE, 1, '!bad:hs1', 'bad', { is_verified: 7 });
    const report = join(folder, 'report.jsonl');
    const { code, out, err } = await onDatabase(
      'import',
      'synapse',
      '--from',
      source.file,
      '--report',
      report,
    );
    expect(code).toBe(1);
    expect(err).not.toContain('Error');
    expect(out).toBe(
      `key: ${ALICE} version 1 !bad:hs1 bad: is_verified is neither true nor false.

Users     1
Backups   1 created
Keys      1,201 read, 1,200 written, 1 skipped
Verified  1,200 keys of 1 backup: stored as in the source, or better
`,
    );
    expect(JSON.parse(await readFile(report, 'utf8'))).toEqual({
      code: 'key',
      message: 'is_verified is neither true nor false.',
      userId: ALICE,
      version: '1',
      roomId: '!bad:hs1',
      sessionId: 'bad',
    });
    source.run('DELETE FROM e2e_room_keys WHERE is_verified = 7');
    expect(
      await json('import', 'synapse', '--from', `sqlite:${source.file}`, '--changed'),
    ).toMatchObject({
      code: 0,
      err: '',
      body: { backups: { unchanged: 1 }, keys: { read: 0 }, issues: {} },
    });
    expect((await onDatabase('verify')).code).toBe(0);
  });

  it('report a user who was left out, and keys without a backup: exit code 1', async () => {
    source
      .backup(ALICE, 1)
      .keys(ALICE, 1, 3)
      .backup(ALICE, 2, { auth_data: '[]' })
      .keys(ALICE, 2, 2)
      .keys('@bob:hs1', 4, 1200);
    const { code, out, err } = await onDatabase('import', 'synapse', '--from', source.file);
    expect({ code, out }).toEqual({
      code: 1,
      out: `newest-backup: ${ALICE} version 2: auth_data is not a JSON object. This is the newest backup, so nothing of the user was imported.
orphaned-keys: @bob:hs1 version 4: The source has 1200 keys of this version, but not the version itself.

Users     1
Backups   2 skipped
Keys      0 read, 0 written, 1,200 skipped
Verified  nothing: no keys were read
`,
    });
    expect(err.trim().split('\n').at(-1)).toMatch(/100% \| 1,205 of 1,205 keys/);
    expect((await onDatabase('verify')).code).toBe(0);
  });

  it('keep a backup that the source has deleted, unless they are to follow deletions: exit code 0', async () => {
    source.backup(ALICE, 1).keys(ALICE, 1, 3).backup(ALICE, 2);
    await onDatabase('import', 'synapse', '--from', source.file);
    source.delete(ALICE, 1);
    const kept = await onDatabase('import', 'synapse', '--from', source.file, '--changed');
    expect(kept).toMatchObject({ code: 0 });
    expect(kept.out).toMatch(
      `deleted-in-source: ${ALICE} version 1: The backup was deleted in the source, and is kept.`,
    );
    const args = ['--from', source.file, '--changed', '--follow-deletions'];
    expect(await json('import', 'synapse', ...args)).toMatchObject({
      code: 0,
      body: { complete: true, backups: { deleted: 1, unchanged: 1 }, issues: {} },
    });
    expect((await json('user', 'show', ALICE)).body.backups).toMatchObject([{ version: '2' }]);
  });

  it('report a user whom the source, or the database, does not have: exit code 1, and no file', async () => {
    source.backup(ALICE, 1).keys(ALICE, 1, 3);
    await onDatabase('import', 'synapse', '--from', source.file);
    const own = await mkdtemp(join(folder, 'unknown-'));
    const file = join(own, 'all.jsonl');
    await onDatabase('export', 'jsonl', '--to', file);
    for (const [args, who] of [
      [['import', 'synapse', '--from', source.file, '--json'], 'source'],
      [['import', 'jsonl', '--from', file], 'source'],
      [['export', 'jsonl', '--to', file, '--force'], 'database'],
      [['export', 'jsonl', '--to', '-'], 'database'],
    ] as const) {
      const outcome = await onDatabase(...args, '--user', '@unknown:hs1');
      expect({ args, ...outcome }).toEqual({
        args,
        code: 1,
        signal: null,
        out: '',
        err: expect.stringMatching(
          new RegExp(
            `^The ${who} has no backup of @unknown:hs1\\. Check the user id(?: in --user)?\\.\n$`,
          ),
        ),
      });
    }
    // the export that is there stays
    expect(await readdir(own)).toEqual(['all.jsonl']);
    expect(await readFile(file, 'utf8')).toContain(ALICE);
  });

  it('tell in a sentence of a source that fails while what was read before is written', async () => {
    source.backup(ALICE, 1).keys(ALICE, 1, 2300);
    // its second page is read ahead, and cannot be
    source.run('ALTER TABLE e2e_room_keys RENAME TO stored_keys');
    source.run(`
      CREATE VIEW e2e_room_keys AS
      SELECT user_id, room_id, session_id, version, first_message_index, forwarded_count,
        CASE room_id WHEN '!room6:hs1' THEN json('{') ELSE is_verified END AS is_verified, session_data
      FROM stored_keys`);
    const { code, out, err } = await onDatabase('import', 'synapse', '--from', source.file);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^The source [^\n]*\.$/m);
    expect(err).not.toMatch(/Node\.js|SourceError/);
    expect((await onDatabase('verify')).out).toMatch(/checked 0 users/);
  });

  it('carry a file to another database, also through a pipe', async () => {
    source.backup(ALICE, 2, { etag: 4 }).keys(ALICE, 2, 300).backup('@bob:hs1', 1);
    await onDatabase('import', 'synapse', '--from', source.file);
    const file = join(folder, 'backups.jsonl');
    const { code, out } = await onDatabase('export', 'jsonl', '--to', file);
    expect({ code, out }).toEqual({ code: 0, out: `Wrote 300 keys of 2 users to ${file}.\n` });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const piped = await onDatabase('export', 'jsonl', '--to', '-');
    expect(piped.out).toBe(await readFile(file, 'utf8'));
    const other = await create();
    try {
      const url = { DATABASE_URL: other.url };
      await migrate(other);
      const importing = startCommand(
        ['import', 'jsonl', '--from', '-', '--json'],
        url,
        undefined,
        piped.out,
      );
      expect(JSON.parse((await importing.ended).out)).toMatchObject({ keys: { written: 300 } });
      const again = await command(['export', 'jsonl', '--to', '-', '--user', ALICE], url);
      expect(again.out.split('\n')).toHaveLength(1 + 1 + 1 + 300 + 1 + 1 + 1);
    } finally {
      await other.drop();
    }
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s ends an export and leaves no file, and ends a verification',
    async (signal, exit) => {
      source.backup(ALICE, 1).keys(ALICE, 1, 12_000);
      await onDatabase('import', 'synapse', '--from', source.file);
      const own = await mkdtemp(join(folder, 'broken-off-'));
      const file = join(own, 'all.jsonl');
      for (const [args, sentence] of [
        [['export', 'jsonl', '--to', file], /^Interrupted\. No file was written; .*\.$/m],
        [['export', 'jsonl', '--to', '-'], /^Interrupted\. The output is incomplete; .*\.$/m],
        [['verify'], /^Interrupted before everything was checked\. .*\.$/m],
      ] as const) {
        const { child, ended } = startCommand(args, { DATABASE_URL: database.url });
        // the bar is there before the first key is read
        await Promise.race([once(child.stderr!, 'data'), ended]);
        child.kill(signal);
        const { code, out, err } = await ended;
        expect({ args, code }).toEqual({ args, code: exit });
        expect(err).toMatch(sentence);
        expect(err).not.toMatch(/AbortError|Node\.js/);
        expect(out).not.toMatch(/"type":"end"|All is well|^Wrote/m);
      }
      expect(await readdir(own)).toEqual([]);
    },
  );

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGKILL', null],
  ] as const)(
    '%s interrupts an import; run again, it ends as if it had not been',
    async (signal, exit) => {
      source
        .backup(ALICE, 1, { etag: 4 })
        .keys(ALICE, 1, 12_000)
        .backup('@bob:hs1', 1)
        .keys('@bob:hs1', 1, 5);
      const importing = startCommand(['import', 'synapse', '--from', source.file], {
        DATABASE_URL: database.url,
      });
      // the keys of Alice are being written, invisibly to clients
      await untilStaging(importing.ended);
      importing.child.kill(signal);
      const { code, err } = await importing.ended;
      expect(code).toBe(exit);
      if (exit !== null) expect(err).toContain('run the same command again');
      expect((await json('stats')).body).toMatchObject({
        keys: 0,
        waiting: { keySets: exit ? 1 : 0 },
      });
      expect((await onDatabase('verify')).code).toBe(0);
      expect(await json('import', 'synapse', '--from', source.file)).toMatchObject({
        code: 0,
        body: { keys: { read: 12_005 } },
      });
      expect(await json('stats')).toMatchObject({ body: { keys: 12_005, backups: 2 } });
      expect((await onDatabase('verify')).code).toBe(0);
    },
  );
});

describe('import and export with a wrong argument', () => {
  let folder: string;

  beforeAll(async () => {
    await buildCommands();
    folder = await mkdtemp(join(tmpdir(), 'room-keys-import-'));
    await onDatabase('migrate');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const onDatabase = (...args: string[]) =>
    command(args, { DATABASE_URL: `sqlite:${join(folder, 'test.db')}` });

  it.each([
    [
      ['--from', 'postgres://u:hunter2@127.0.0.1:1/synapse'],
      /^The database of the source cannot be reached/,
    ],
    [
      ['--from', 'postgres://u:hunter2@127.0.0.1:99999/synapse'],
      /^The URL of the source is not valid/,
    ],
    [
      ['--from', 'mysql://u:hunter2@127.0.0.1/synapse'],
      /^The source is not the database of a homeserver/,
    ],
    [['--from', '/no/such/file'], /^There is no file \/no\/such\/file/],
    [['--from', import.meta.filename], /^The source is not a SQLite database/],
  ])('%j fails with one sentence that gives nothing away', async (args, message) => {
    const { code, out, err } = await onDatabase('import', 'synapse', ...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(err).not.toContain('hunter2');
  });

  it.each([
    [['import', 'synapse'], /required option '--from <database>' not specified/],
    [['export', 'jsonl'], /required option '--to <file>' not specified/],
    [['import', 'matrix', '--from', 'x'], /unknown command 'matrix'/],
  ])('%j is wrong usage: exit code 2', async (args, message) => {
    const { code, err } = await onDatabase(...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});
