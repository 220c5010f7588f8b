/**
 * Proves that a file of JSON lines carries backups from one database to another as they are, byte for
 * byte, from SQLite to each of the others and back; that it can be imported again; and that a file
 * which has changed, or breaks off, is refused before anything is written.
 */
import { hash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type RoomKeysImportOptions,
  RoomKeysMaintenance,
  RoomKeysTransfer,
} from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, roomsBody } from '../support/matrix-client.js';
import { query } from '../support/sql.js';

const ALICE = '@alice:hs1';
const OPAQUE = '{"big":12345678901234567890,"é":"\\u00e9 😀","nested":{"a" : [ 1.0, "\\"\\n" ]}}';
const key = (more: string) =>
  `{"first_message_index":0,"forwarded_count":3,"is_verified":true,"session_data":${OPAQUE}${more}}`;

describe.each(databases)('a file of JSON lines, by way of $name', ({ create }) => {
  const opened: { database: TestDatabase; application: TestApplication }[] = [];
  let folder: string;
  let first: TestApplication;

  const start = async (createOne = create) => {
    const database = await createOne();
    const application = await startApplication(database);
    opened.push({ database, application });
    return application;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-jsonl-'));
    first = await start(databases[0]?.create);
    const alice = first.client('alice/PHONE');
    await alice.createBackup({ public_key: 'one' });
    await alice.put('/keys?version=1', roomsBody([['!a:hs1', 's', keyData()]]));
    await alice.createBackup({ public_key: 'two' });
    await alice.createBackup({ public_key: 'three' });
    await alice.send('PUT', `${keyPath('!é/+ :hs1', '__proto__')}?version=3`, key(''));
    await first
      .client('alice')
      .put(
        '/keys?version=3',
        roomsBody(
          Array.from({ length: 2300 }, (_, n) => [`!r${n % 5}:hs1`, `s${n}`, keyData()] as const),
        ),
      );
    await alice.delete(`${keyPath('!r0:hs1', 's5')}?version=3`);
    await alice.delete('/version/2');
    await first.client('bob').createBackup();
    await first.client('bob').delete('/version/1');
    await first.client('carol').createBackup();
  });
  afterAll(async () => {
    for (const { application, database } of opened) {
      await application.close();
      await database.drop();
    }
    await rm(folder, { recursive: true, force: true });
  });

  const exported = async ({ dataSource }: TestApplication, userId?: string) => {
    let text = '';
    for await (const lines of new RoomKeysTransfer(dataSource).exportJsonl({ userId })) {
      text += lines;
    }
    return text;
  };
  const written = async (text: string) => {
    const file = join(folder, 'backups.jsonl');
    await writeFile(file, text);
    return file;
  };
  const imported = async (
    { dataSource }: TestApplication,
    text: string,
    options: RoomKeysImportOptions = {},
  ) => new RoomKeysTransfer(dataSource).importJsonl(await written(text), options);
  const state = async ({ dataSource }: TestApplication) => ({
    users: await dataSource.query('SELECT * FROM room_keys_users ORDER BY user_id'),
    backups: await dataSource.query('SELECT * FROM room_keys_backups ORDER BY user_id, version'),
    count: await dataSource.query('SELECT COUNT(*) AS keys_in_all FROM room_keys_keys'),
  });
  const findings = async ({ dataSource }: TestApplication) => {
    const found = [];
    for await (const one of new RoomKeysMaintenance(dataSource).verify()) found.push(one);
    return found;
  };

  it('carries everything there and back, and changes nothing the second time', async () => {
    const file = await exported(first);
    const second = await start();
    expect(await imported(second, file)).toMatchObject({
      users: 3,
      backups: { created: 3 },
      keys: { read: 2301, skipped: 0 },
      verified: { backups: 3, keys: 2301 },
      issues: {},
    });
    expect(await findings(second)).toEqual([]);
    expect(await exported(second)).toBe(file);
    const before = await state(second);
    expect(await imported(second, file)).toMatchObject({ keys: { written: 0 } });
    expect(await state(second)).toEqual(before);
    const third = await start(databases[0]?.create);
    await imported(third, await exported(second));
    expect(await exported(third)).toBe(file);
    for (const path of [
      '/version',
      '/version/1',
      '/version/2',
      `${keyPath('!é/+ :hs1', '__proto__')}?version=3`,
    ]) {
      const [was, is] = [first, third].map(({ client }) => client('alice').get(path));
      expect((await is)?.text).toBe((await was)?.text);
    }
    expect(await third.client('bob').createBackup()).toBe('2');
    const [row] = await query<Record<string, Buffer>>(
      third.dataSource,
      'SELECT device_id FROM room_keys_keys WHERE session_id = ?',
      [Buffer.from('__proto__')],
    );
    expect(row?.device_id?.toString()).toBe('PHONE');
  });

  it('can be of one user, and follows deleted backups on request', async () => {
    const second = await start();
    await imported(second, await exported(first));
    const from = await start();
    await imported(from, await exported(first, ALICE));
    await from.client('alice').delete('/version/3');
    await from.client('alice').delete('/keys?version=1');
    const file = await exported(from, ALICE);
    expect(file).not.toContain('bob');
    expect(await imported(second, file, { followDeletions: true })).toMatchObject({
      users: 1,
      backups: { deleted: 1, merged: 1 },
    });
    // no import removes a key; the etag is one that no client knows for other keys
    expect((await second.client('alice').get('/version')).body).toMatchObject({
      version: '1',
      count: 1,
      etag: '3',
    });
    expect(await findings(second)).toEqual([]);
  });

  it('imported into the database that it is from, changes nothing', async () => {
    const second = await start();
    await second.client('alice').createBackup();
    await second.client('alice').put('/keys?version=1', roomsBody([['!a:hs1', 's', keyData()]]));
    const before = await state(second);
    expect(await imported(second, await exported(second))).toMatchObject({
      backups: { unchanged: 1 },
    });
    expect(await state(second)).toEqual(before);
  });

  it.each<[name: string, damage: (text: string) => string, sentence: RegExp]>([
    ['is cut off', (text) => text.slice(0, -50), /is truncated/],
    ['is cut off after a line', (text) => text.replace(/[^\n]+\n$/, ''), /is truncated/],
    ['lacks a key', (text) => text.replace(/\{"type":"key"[^\n]+\n/, ''), /checksum/],
    [
      'has another key',
      (text) => text.replace('"forwarded_count":3', '"forwarded_count":4'),
      /checksum/,
    ],
    [
      'lacks a user',
      (text) => text.replace(/\{"type":"user","user_id":"@bob[^\n]+\n/, ''),
      /^line 2311: expected 3 users, found 2\. Nothing was imported\.$/,
    ],
    ['has a user twice', (text) => text.replace('@bob:hs1', ALICE), /duplicate user/],
    [
      'is of another version',
      (text) => text.replace('"format":1', '"format":2'),
      /^line 1: unsupported format version 2 \(expected 1\)\. Nothing was imported\.$/,
    ],
    [
      'reserves a version that is none',
      (text) => text.replace('"last_version":3', '$&,"reserved_versions":["1"]'),
      /reserved_versions must be versions/,
    ],
    [
      'reserves a version that was never given',
      (text) => text.replace('"last_version":3', '$&,"reserved_versions":[4]'),
      /reserved_versions must be versions/,
    ],
    ['is no such file', () => '{"hello":"world"}\n', /not an export/],
    ['is not JSON', () => 'hello\n', /not a JSON object/],
    ['is empty', () => '', /is truncated/],
    ['goes on after its end', (text) => `${text}{"type":"end"}\n`, /goes on after its end/],
  ])('is refused when it %s, and nothing is written', async (_, damage, sentence) => {
    const second = opened[1]?.application ?? (await start());
    const before = await state(second);
    const file = damage(await exported(first));
    await expect(imported(second, file)).rejects.toThrow(sentence);
    expect(await state(second)).toEqual(before);
  });

  it('with a key twice, pages apart, skips the user whose newest backup that is, and no other', async () => {
    const second = await start();
    const result = await imported(second, withFirstKeyAgain(await exported(first)));
    expect(result).toMatchObject({
      complete: false,
      backups: { created: 1, skipped: 2 },
      issues: { verification: 1 },
    });
    expect((await second.client('alice').get('/version/1')).status).toBe(404);
    expect((await second.client('alice').get('/version')).status).toBe(404);
    expect((await second.client('carol').get('/version')).status).toBe(200);
    expect(await findings(second)).toEqual([]);

    // where the file goes on to, versions that are missing are not taken for deleted either
    const third = await start();
    const passedOn = await exported(second);
    expect(passedOn).toContain('"last_version":3,"reserved_versions":[1,3]}');
    for (const attempt of [1, 2]) {
      expect(await imported(third, passedOn)).toMatchObject({
        complete: true,
        backups: { skipped: 0, ...(attempt === 1 ? { created: 1 } : { unchanged: 1 }) },
      });
    }
    expect(await exported(third)).toBe(passedOn);

    // a file that is right is imported, here and there
    for (const one of [second, third]) {
      expect(await imported(one, await exported(first))).toMatchObject({
        backups: { created: 2, unchanged: 1 },
        issues: {},
      });
      expect(await exported(one)).toBe(await exported(first));
      expect(await findings(one)).toEqual([]);
    }
  });

  it('of an earlier version is read', async () => {
    const second = await start();
    const reserved = '"last_version":7,"withheld_versions":[5]';
    const file = (await exported(first)).replace('"last_version":3', reserved);
    await imported(second, file);
    expect(await exported(second)).toBe(file.replace('withheld', 'reserved'));
    // a backup that is taken over is the newest one, and the reserved version is not given out
    expect((await second.client('alice').get('/version')).body.version).toBe('3');
    expect(await second.client('alice').createBackup()).toBe('8');
  });

  it('names the file that is not there', async () => {
    const { dataSource } = first;
    await expect(
      new RoomKeysTransfer(dataSource).importJsonl(join(folder, 'none.jsonl')),
    ).rejects.toThrow(/cannot be read \(ENOENT\)/);
    expect(await readFile(await written(await exported(first)), 'utf8')).toMatch(
      /^\{"type":"nestjs-room-keys","format":1\}\n/,
    );
  });
});

/** The file with the first key of Alice's last backup once more at the end of it, counts and checksum made right. */
function withFirstKeyAgain(text: string): string {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.includes('"type":"backup","version":3'));
  const end = lines.findIndex((line, n) => n > start && line.includes('"type":"backup_end"'));
  const again = lines[start + 1] ?? '';
  const { room_id, session_id, first_message_index, forwarded_count, is_verified, session_data } =
    JSON.parse(again) as Record<string, string | number | boolean>;
  const parts = [room_id, session_id, first_message_index, forwarded_count, Number(is_verified)];
  const digest = hash('sha256', [...parts, session_data].join('\0'), 'buffer');
  let word = 0;
  const more = (line: string) =>
    line
      .replace(/"(count|keys)":(\d+)/, (_, name, count) => `"${name}":${Number(count) + 1}`)
      .replace(/[0-9a-f]{8}(?=[0-9a-f]*"\}$)/g, (old) =>
        ((Number.parseInt(old, 16) + digest.readUInt32BE(4 * word++)) >>> 0)
          .toString(16)
          .padStart(8, '0'),
      );
  return lines
    .map((line, n) => {
      if (n === start) return more(line);
      if (n === end) return `${again}\n${more(line)}`;
      return line.startsWith('{"type":"end"') ? more(line) : line;
    })
    .join('\n');
}
