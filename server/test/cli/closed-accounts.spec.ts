/** Proves `closed-accounts erase` as an operator meets it: what it prints, reports and erases, and its exit codes. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { json, startService } from '../../../test/homeserver/fake-service.js';
import { startApplication, type TestApplication } from '../../../test/support/application.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, roomsBody } from '../../../test/support/matrix-client.js';
import { buildCommands, command } from './run-command.js';

// reserved by IANA: nothing listens there
const NOBODY = 'http://127.0.0.1:49151';
const USERS = Array.from({ length: 12 }, (_, n) => `user${n}`);

describe('closed-accounts erase', () => {
  let folder: string;
  let database: TestDatabase;
  let application: TestApplication;
  let synapse: string;

  beforeAll(async () => {
    await buildCommands();
    folder = await mkdtemp(join(tmpdir(), 'room-keys-closed-'));
    database = await databases[0]!.create();
    application = await startApplication(database);
    for (const user of USERS) {
      const client = application.client(user);
      await client.createBackup();
      await client.put('/keys?version=1', roomsBody([['!r:hs1', 's', keyData()]]));
    }
    synapse = join(folder, 'homeserver.db');
    const rows = USERS.slice(0, 11).map((user, n) => `('@${user}:hs1', ${n === 3 ? 1 : 0})`);
    new Sqlite(synapse)
      .exec('CREATE TABLE users (name TEXT, deactivated SMALLINT)')
      .exec(`INSERT INTO users VALUES ${rows.join(', ')}`)
      .close();
    await writeFile(join(folder, 'token'), 'secret-token\n');
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
    await rm(folder, { recursive: true });
  });

  const erase = (...args: string[]) =>
    command(['closed-accounts', 'erase', ...args], { DATABASE_URL: database.url }, folder);
  const has = async (user: string) => (await application.client(user).get('/version')).status;

  it.each([
    [[], 'Set --from, or --homeserver and --admin-token-file.'],
    [['--homeserver', 'http://127.0.0.1:1'], 'Set --from, or'],
    [['--homeserver', 'ftp://hs', '--admin-token-file', 'token'], 'Set --homeserver to a URL'],
    [['--from', 'x', '--homeserver', 'http://127.0.0.1:1'], "'--from <database>' cannot be used"],
    [['--from', 'x', '--max-share', '1.1'], 'Use a number from 0 to 1.'],
    [['--from', 'x', '--max-share', ''], 'Use a number from 0 to 1.'],
    [['--from', 'x', '--max-share', 'NaN'], 'Use a number from 0 to 1.'],
  ])('%j is wrong usage', async (args, message) => {
    const { code, out, err } = await erase(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
  });

  it.each([
    [['--from', 'nothing.db'], /There is no file nothing\.db/],
    [['--homeserver', NOBODY, '--admin-token-file', 'none'], /\(ENOENT\)/],
    [
      ['--homeserver', NOBODY, '--admin-token-file', 'token'],
      /^No user was erased\. The homeserver did not answer \(ECONNREFUSED\)\.\n$/,
    ],
  ])('%j fails, and erases nobody', async (args, message) => {
    const { code, out, err } = await erase(...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    expect(err).not.toContain('secret-token');
    for (const user of USERS) expect(await has(user)).toBe(200);
  });

  it('says who would be erased, refuses, and erases, by the database', async () => {
    const lines = (outcome: string, erased: string) =>
      `@user11:hs1: unknown, kept (1 backup, 1 key)
@user3:hs1: closed, ${outcome} (1 backup, 1 key)
Accounts: 10 open, 1 closed, 1 unknown to the homeserver.
Erased ${erased}.
`;
    const nothing = '0 backups with 0 keys of 0 users';
    expect(await erase('--from', synapse, '--dry-run')).toMatchObject({
      code: 0,
      out: lines('would be erased', nothing),
    });
    expect(await erase('--from', synapse, '--max-share', '0.05')).toMatchObject({
      code: 1,
      out: lines('refused', nothing),
      err: expect.stringMatching(/No user was erased\. 1 of 12 users would be erased/),
    });
    expect(await has('user3')).toBe(200);
    const report = join(folder, 'report.jsonl');
    expect(await erase('--from', synapse, '--report', report)).toMatchObject({
      code: 0,
      out: lines('erased', '1 backup with 1 key of 1 user'),
    });
    expect(
      (await readFile(report, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { userId: '@user11:hs1', backups: 1, keys: 1, kept: 0, account: 'unknown', outcome: 'kept' },
      { userId: '@user3:hs1', backups: 1, keys: 1, kept: 0, account: 'closed', outcome: 'erased' },
    ]);
    for (const user of USERS) expect(await has(user)).toBe(user === 'user3' ? 404 : 200);
  });

  it('by the admin API, tells how many were erased before an answer failed', async () => {
    let looks = 0;
    const service = await startService((response, request) => {
      const userId = decodeURIComponent(request.url.split('/').at(-1) ?? '');
      if (userId === 'whoami') return json(200, { user_id: '@admin:hs1' })(response, request);
      looks += 1;
      // the second look at the second user who is closed
      if (looks > 12) return json(500, {})(response, request);
      const deactivated = userId === '@user1:hs1' || userId === '@user2:hs1';
      return json(200, { name: userId, deactivated })(response, request);
    });
    try {
      const args = ['--homeserver', service.url, '--admin-token-file', 'token'];
      const { code, out, err } = await erase(...args, '--max-share', '1', '--json');
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(/^1 user had been erased\. The homeserver answered 500/);
      expect(await has('user1')).toBe(404);
      expect(await has('user2')).toBe(200);
      expect(service.received[0]?.headers.authorization).toBe('Bearer secret-token');
    } finally {
      await service.close();
    }
  });
});
