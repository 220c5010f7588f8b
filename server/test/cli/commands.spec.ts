/**
 * Proves the commands as an operator meets them, as processes on each database: what they print for a
 * person and as JSON, what they do, their exit codes, and that a mistake says what to do.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, chmod, chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { run } from '../../src/cli/program.js';
import { startApplication, type TestApplication } from '../../../test/support/application.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { withPostgres } from '../../../test/support/server-kinds.mjs';
import { serverProgram } from '../proxy/processes.js';
import { keyData, roomsBody } from '../../../test/support/matrix-client.js';
import { query } from '../../../test/support/sql.js';
import { buildCommands, command, main, type Outcome, startCommand } from './run-command.js';

/** A command in this process, for what it says before it does anything: one of its own takes a second. */
async function inProcess(args: readonly string[]): Promise<Outcome> {
  const spoken = { out: '', err: '' };
  const hear = (stream: 'stdout' | 'stderr', ear: 'out' | 'err') =>
    jest.spyOn(process[stream], 'write').mockImplementation((text) => {
      spoken[ear] += String(text);
      return true;
    });
  const ears = [hear('stdout', 'out'), hear('stderr', 'err')];
  try {
    return { code: (await run(args)) ?? 0, signal: null, ...spoken };
  } finally {
    for (const ear of ears) ear.mockRestore();
  }
}

/** The uid of a user without rights, on any Linux. */
const NOBODY = 65534;

const terminal = serverProgram('script', 'bsdutils');

const COMMANDS = [
  ['serve'],
  ['migrate'],
  ['stats'],
  ['user', 'show'],
  ['user', 'restore'],
  ['user', 'erase'],
  ['closed-accounts', 'erase'],
  ['sweep'],
  ['verify'],
  ['import', 'synapse'],
  ['import', 'dendrite'],
  ['import', 'jsonl'],
  ['export', 'jsonl'],
  ['token', 'create'],
];

const batch = (count: number) =>
  roomsBody(
    Array.from({ length: count }, (_, n) => [`!r${n % 3}:hs1`, `s${n}`, keyData()] as const),
  );

describe('the commands', () => {
  let folder: string;

  beforeAll(async () => {
    await buildCommands();
    folder = await mkdtemp(join(tmpdir(), 'room-keys-commands-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(COMMANDS.map((words) => [words.join(' '), words]))(
    '%s explains itself, with an example',
    async (_, words) => {
      const { code, out, err } = await inProcess([...words, '--help']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('Usage: room-keys-server');
      expect(out).toMatch(/Examples?:\n {2}\$ /);
      expect(out).toContain(`room-keys-server ${words.join(' ')}`);
    },
  );

  it('can be executed by npx after each build', async () => {
    // npx links to it in a checkout, and sets its mode the first time alone
    await expect(access(main, constants.X_OK)).resolves.toBeUndefined();
  });

  it('are listed by --help, with the exit codes', async () => {
    const { code, out } = await inProcess(['--help']);
    expect(code).toBe(0);
    for (const [word] of COMMANDS) expect(out).toMatch(new RegExp(`^ {2}${word}\\b`, 'm'));
    expect(out).toContain(
      'Exit codes: 0 done, 1 failed or found something, 2 wrong usage, 130 or 143 interrupted by SIGINT or SIGTERM.',
    );
    expect((await command(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    [[], /Usage/],
    [['statistics'], /unknown command 'statistics'/],
    [['stats', '--larges', '3'], /unknown option '--larges'\n\(Did you mean --largest\?\)/],
    [['import', 'synapse', '--form', 'x'], /unknown option '--form'\n\(Did you mean --from\?\)/],
    [['export', 'jsonl', '--t', 'x'], /unknown option '--t'\n\(Did you mean --to\?\)/],
    [['import', 'synapse'], /required option '--from <database>' not specified/],
    [['export', 'jsonl'], /required option '--to <file>' not specified/],
    [['stats', '--largest', 'three'], /Use a whole number/],
    [['user', 'show'], /missing required argument/],
    [['user', 'show', 'alice'], /full user id, for example '@alice:example\.org'/],
    [['verify', '--user', 'alice'], /full user id/],
  ])('%j is wrong usage: exit code 2', async (args, message) => {
    const { code, out, err } = await inProcess(args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(out).toBe('');
  });

  const asOther = process.getuid?.() === 0 && platform() === 'linux' ? it : it.skip;
  // only root can make a file that belongs to another user
  asOther(
    'name the file that root has made, and its owner, to a user who cannot open it',
    async () => {
      const own = await mkdtemp(join(folder, 'owned-'));
      const file = join(own, 'keys.db');
      const option = ['--database', `sqlite:${file}`];
      expect(await command(['migrate', ...option])).toMatchObject({ code: 0 });
      await chmod(folder, 0o755);
      await chmod(own, 0o777);
      const outcome = await startCommand(['stats', ...option], {}, undefined, undefined, NOBODY)
        .ended;
      expect(outcome.err).toMatch(
        /^\S+\/keys\.db belongs to root \(mode 0600\), and this process runs as nobody, which may not write to it\. Run 'chown nobody \S+\/keys\.db'/,
      );
      expect(outcome).toMatchObject({ code: 1, out: '' });
      await chown(file, NOBODY, NOBODY);
      await chmod(own, 0o755);
      const readOnly = await startCommand(['stats', ...option], {}, undefined, undefined, NOBODY)
        .ended;
      expect(readOnly.err).toMatch(/^\S+\/owned-\w+ belongs to root \(mode 0755\), /);
    },
  );

  it('user erase does nothing without a terminal to confirm: exit code 2', async () => {
    const { code, err } = await command(['user', 'erase', '@alice:hs1'], {}, folder);
    expect({ code, err }).toEqual({
      code: 2,
      err: 'The deletion cannot be confirmed without a terminal. Use --yes to delete without asking.\n',
    });
  });

  it.each([
    [['stats'], /^There is no database data\/room-keys\.db\. /],
    [
      ['stats', '--database', 'oracle://u:secret@h/d'],
      /^--database begins with 'oracle:', which is not supported\. Set /,
    ],
    [['verify', '--database', 'mysql://u:secret@127.0.0.1:1/d'], /^No database answers /],
    [['migrate', '--database', 'sqlite:/'], /^The SQLite file \/ cannot be opened /],
  ])('%j fails with one sentence that gives nothing away', async (args, message) => {
    const { code, out, err } = await command(args, {}, folder);
    expect(code).toBe(1);
    expect(err).toMatch(message);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(out + err).not.toContain('secret');
  });

  it.each(['DATABASE_PASSWORD', 'DATABASE_PASSWORD_FILE'])(
    'take the --database of a SQLite file in a shell where the settings of a server with %s are',
    async (name) => {
      const secret = join(folder, 'secret');
      await writeFile(secret, 'not-this-one');
      const password = { [name]: name.endsWith('_FILE') ? secret : 'not-this-one' };
      const server = { DATABASE_URL: 'mysql://room_keys@127.0.0.1:1/d', ...password };
      const option = ['--database', `sqlite:${join(folder, `${name}.db`)}`];
      expect(await command(['migrate', ...option], server)).toMatchObject({ code: 0, err: '' });
      expect(await command(['verify', ...option], server)).toMatchObject({ code: 0 });
      expect(await command(['serve', '--check-config', ...option], server)).toMatchObject({
        code: 0,
        err: '',
      });
    },
  );

  it.each([
    ['DATABSE_URL', 'DATABASE_URL'],
    ['database_url', 'DATABASE_URL'],
    ['DATBASE_PASSWORD_FILE', 'DATABASE_PASSWORD_FILE'],
  ])('refuse %s as the server does, and make no database instead', async (name, setting) => {
    const own = await mkdtemp(join(folder, 'misspelt-'));
    // what is misspelt of other settings is the server's business
    const variables = { [name]: 'mysql://u:secret@127.0.0.1:1/d', HOMESERVR_URL: 'x' };
    const sentence = `${name} is not a setting. Set ${setting}, or both if another program needs ${name}.\n`;
    expect(await command(['migrate'], variables, own)).toMatchObject({
      code: 1,
      out: '',
      err: sentence,
    });
    expect(await readdir(own)).toEqual([]);
    // the option says which database it is
    const option = ['--database', `sqlite:${join(own, 'a.db')}`];
    expect(await command(['migrate', ...option], variables, own)).toMatchObject({ code: 0 });
  });

  it('take a database without tables for what it is', async () => {
    const file = join(folder, 'empty.db');
    await writeFile(file, '');
    const { code, err } = await command(['stats', '--database', `sqlite:${file}`]);
    expect(code).toBe(1);
    expect(err).toMatch(/Run 'room-keys-server migrate'/);
  });

  it('make up a token that the server takes', async () => {
    const user = '@alice:localhost';
    const { out } = await command(['token', 'create', '--user', user]);
    expect(out).toMatch(/^[\w-]{32}=@alice:localhost\n$/);
    const { token, userId, DEV_TOKENS } = JSON.parse(
      (await command(['token', 'create', '--user', user, '--json'])).out,
    );
    expect(DEV_TOKENS).toBe(`${token}=${user}`);
    expect(userId).toBe(user);
    const { child, output, ended } = startCommand(
      ['serve'],
      { PORT: '0', LOG_FORMAT: 'text', DEV_TOKENS },
      folder,
    );
    while (!output.out.includes('room_keys\n')) {
      await Promise.race([once(child.stdout!, 'data'), ended]);
      if (child.exitCode !== null) throw new Error(output.err);
    }
    const [url = ''] = /http:\S+room_keys/.exec(output.out) ?? [];
    const answer = await fetch(`${url}/version`, { headers: { Authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ errcode: 'M_NOT_FOUND' });
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
  });
});

describe.each(databases)('the commands on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;

  beforeAll(async () => {
    await buildCommands();
    database = await create();
    const migrated = await onDatabase('migrate');
    expect(migrated).toMatchObject({ code: 0, err: '' });
    expect(migrated.out).toMatch(/^Run: CreateRoomKeys\d+\n/);
    application = await startApplication(database);
    for (const [name, count] of [
      ['alice/PHONE', 1200],
      ['bob', 3],
    ] as const) {
      const client = application.client(name);
      await client.createBackup();
      await client.put('/keys?version=1', batch(count));
    }
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });

  const onDatabase = (...args: string[]) => command(args, { DATABASE_URL: database.url });
  const asJson = async (...args: string[]) => {
    const { code, out, err } = await onDatabase(...args, '--json');
    expect(err).toBe('');
    return { code, body: JSON.parse(out) };
  };
  const execute = (sql: string) => query(application.dataSource, sql);

  it('migrate finds nothing to do the second time', async () => {
    expect(await onDatabase('migrate')).toMatchObject({
      code: 0,
      out: 'The tables are up to date.\n',
      err: '',
    });
    expect((await asJson('migrate')).body).toEqual({ migrations: [] });
  });

  it('take the database by option too', async () => {
    const { code, out } = await command(['stats', '--database', database.url]);
    expect(code).toBe(0);
    expect(out).toMatch(/^Keys +1,203$/m);
  });

  it('take the password of an option that has one, and that of the environment for one that has none', async () => {
    const stats = (url: string, password: string) =>
      command(['stats', '--database', url], { DATABASE_PASSWORD: password });
    const url = new URL(database.url);
    const { password, protocol } = url;
    if (protocol === 'sqlite:' || password !== '') {
      expect(await stats(url.href, 'not-this-one')).toMatchObject({ code: 0, err: '' });
    }
    if (protocol === 'sqlite:') return;
    url.password = '';
    expect(await stats(url.href, decodeURIComponent(password))).toMatchObject({ code: 0, err: '' });
    // one that was started for these tests alone requires no password
    if (protocol === 'postgres:' && (await takesAnyPassword(url))) return;
    expect((await stats(url.href, 'not-this-one')).err).toMatch(/^The database rejects the user /);
  });

  it('stats counts, and names the largest backups', async () => {
    const { code, body } = await asJson('stats', '--largest', '1');
    expect(code).toBe(0);
    expect(body).toMatchObject({
      users: 2,
      usersWithBackup: 2,
      backups: 2,
      keys: 1203,
      waiting: { keySets: 0 },
      largest: [{ userId: '@alice:hs1', version: '1', count: 1200 }],
    });
    expect(body.largest).toHaveLength(1);
    const { out } = await onDatabase('stats');
    expect(out).toMatch(/^Users +2, of whom 2 have a backup$/m);
    expect(out).toMatch(/^ {2}1,200 keys .*version 1 +@alice:hs1/m);
  });

  it('user show tells what is stored of one user', async () => {
    const { code, body } = await asJson('user', 'show', '@alice:hs1');
    expect(code).toBe(0);
    expect(body).toMatchObject({
      userId: '@alice:hs1',
      count: 1200,
      backups: [{ version: '1', count: 1200, etag: '1', devices: ['PHONE'] }],
    });
    expect((await onDatabase('user', 'show', '@alice:hs1')).out).toMatch(
      /^version 1 \(current\) +1,200 keys .*by 1 device$/m,
    );
    expect(await onDatabase('user', 'show', '@zoe:hs1')).toMatchObject({
      code: 0,
      out: '@zoe:hs1 has no backup.\n',
    });
  });

  it('verify finds nothing where all is well, and what is wrong where it is not: exit code 1', async () => {
    expect(await onDatabase('verify')).toMatchObject({
      code: 0,
      out: 'All is well: checked 2 users, 2 backups, 1,203 keys.\n',
    });
    await execute('UPDATE room_keys_keys SET is_verified = 5 WHERE seq = 1');
    const { code, out } = await onDatabase('verify');
    expect(code).toBe(1);
    expect(out).toMatch(/^rank: @bob:hs1 version 1 !r1:hs1 s1: is_verified is 5, .*\.$/m);
    expect(out).toMatch(/^2 findings: checked 2 users, 2 backups, 1,203 keys\.$/m);
    const json = await asJson('verify', '--show', '1');
    expect(json.code).toBe(1);
    expect(json.body).toMatchObject({
      found: 2,
      checked: { users: 2, backups: 2, keys: 1203 },
      findings: [{ code: 'rank' }],
    });
    expect((await asJson('verify', '--user', '@bob:hs1')).body.found).toBe(1);
    await execute('UPDATE room_keys_keys SET is_verified = 0 WHERE seq = 1');
  });

  it('verify checks nothing of a user who is not there, and says so: exit code 1', async () => {
    for (const more of [[], ['--json']]) {
      expect(await onDatabase('verify', '--user', '@mistyped:hs1', ...more)).toMatchObject({
        code: 1,
        out: '',
        err: 'The database has no backup of @mistyped:hs1. Check the user id.\n',
      });
    }
  });

  // a program of util-linux: Ctrl-C and Ctrl-D are made by a terminal
  (terminal === undefined ? it.skip : it).each([
    ['Ctrl-C', '\u0003', 130],
    ['Ctrl-D', '\u0004', 1],
    ['another answer', '@alice:hs2\r', 1],
  ])('user erase deletes nothing at %s', async (_, typed, exit) => {
    const line = [process.execPath, main, 'user', 'erase', '@alice:hs1'].join(' ');
    const child = spawn(terminal!, ['-qefc', line, '/dev/null'], {
      env: { ...process.env, DATABASE_URL: database.url },
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (!out.includes('continue: ') && (out + text).includes('continue: '))
        child.stdin.write(typed);
      out += text;
    });
    expect(await once(child, 'close')).toEqual([exit, null]);
    expect(out).toContain('This permanently deletes 1 backup with 1,200 keys of @alice:hs1.');
    expect(out).toMatch(/\nNothing was deleted\.\r\n$/);
    expect((await application.client('alice').get('/version')).body.count).toBe(1200);
  });

  it('export replaces a file only with --force, and nothing that is not a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'room-keys-export-'));
    const file = join(folder, 'backups.jsonl');
    await writeFile(file, 'precious');
    expect(await onDatabase('export', 'jsonl', '--to', file)).toMatchObject({
      code: 1,
      out: '',
      err: `${file} exists. Use --force to replace it, or set --to to another path.\n`,
    });
    expect(await readFile(file, 'utf8')).toBe('precious');
    expect(await onDatabase('export', 'jsonl', '--to', folder, '--force')).toMatchObject({
      code: 1,
      err: `${folder} is not a regular file. Set --to to another path, or to - for stdout.\n`,
    });
    expect(await onDatabase('export', 'jsonl', '--to', file, '--force')).toMatchObject({ code: 0 });
    expect(await readFile(file, 'utf8')).toMatch(/^\{"type":"nestjs-room-keys"/);
    await rm(folder, { recursive: true });
  });

  it('user erase says that it knows nothing of a user: exit code 1', async () => {
    expect(await onDatabase('user', 'erase', '@mistyped:hs1', '--yes')).toMatchObject({
      code: 1,
      out: '',
      err: 'The database has no backup of @mistyped:hs1. Check the user id.\n',
    });
  });

  it('user show names versions that an import left out', async () => {
    const user = hexOf('@bob:hs1', database.url);
    await execute(`INSERT INTO room_keys_imports (user_id, version) VALUES (${user}, 7)`);
    expect((await onDatabase('user', 'show', '@bob:hs1')).out).toMatch(
      /^version 7: not imported; the report of the import says why$/m,
    );
    expect((await asJson('user', 'show', '@bob:hs1')).body).toMatchObject({
      isKnown: true,
      versionsNotImported: ['7'],
    });
    await execute('DELETE FROM room_keys_imports');
  });

  it('user erase deletes one user’s backups with their rows, and no others', async () => {
    const { code, body } = await asJson('user', 'erase', '@alice:hs1', '--yes');
    expect(code).toBe(0);
    expect(body).toEqual({
      userId: '@alice:hs1',
      erased: { backups: 1, keys: 1200, deletions: 0 },
    });
    expect((await application.client('alice').get('/version')).status).toBe(404);
    expect((await application.client('bob').get('/version')).body.count).toBe(3);
    expect((await asJson('stats')).body).toMatchObject({ keys: 3, waiting: { keySets: 0 } });
    expect((await asJson('verify')).code).toBe(0);
    expect((await onDatabase('user', 'erase', '@alice:hs1', '--yes')).out).toBe(
      'Erased 0 backups with 0 keys of @alice:hs1.\n',
    );
    // whose row stays, and is checked
    expect((await onDatabase('verify', '--user', '@alice:hs1')).out).toBe(
      'All is well: checked 1 user, 0 backups, 0 keys.\n',
    );
  });

  it('sweep removes the rows of what was deleted', async () => {
    await execute('UPDATE room_keys_key_sets SET retired_at = 1');
    await execute('DELETE FROM room_keys_backups');
    const { code, body } = await asJson('sweep');
    expect(code).toBe(0);
    expect(body).toEqual({
      keySets: 1,
      rooms: 0,
      rows: 3,
      staged: { keySets: 0, keys: 0 },
      kept: { deletions: 0, keys: 0 },
    });
    expect((await onDatabase('sweep')).out).toBe('Nothing to sweep.\n');
  });
});

/** A literal of bytes. */
function hexOf(text: string, url: string): string {
  const digits = Buffer.from(text).toString('hex');
  return url.startsWith('postgres') ? `'\\x${digits}'` : `X'${digits}'`;
}

/** Whether a PostgreSQL trusts everybody who comes from here. */
async function takesAnyPassword(url: URL): Promise<boolean> {
  const wrong = new URL(url);
  wrong.password = 'not-this-one';
  try {
    await withPostgres(wrong.href, () => Promise.resolve());
    return true;
  } catch {
    return false;
  }
}
