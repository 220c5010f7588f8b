/** Proves that no answer but a plain "deactivated" of the homeserver, twice, has a user's backups erased. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import fc from 'fast-check';
import {
  type RoomKeysClosedAccount,
  RoomKeysClosedAccounts,
  RoomKeysMaintenance,
  RoomKeysSourceError,
} from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { type Answer, type FakeService, json, startService, text } from './fake-service.js';

const TOKEN = 'the-admin-token';
const GOOD = ['open', 'closed', 'unknown'] as const;
type Good = (typeof GOOD)[number];

/** Answers about a user that are none. */
const BAD: Record<string, (userId: string) => Answer> = {
  '401': () => json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.' }),
  '403': () => json(403, { errcode: 'M_FORBIDDEN', error: 'You are not a server admin' }),
  '403 that says deactivated': (name) => json(403, { name, deactivated: true }),
  '400': () => json(400, { errcode: 'M_UNKNOWN', error: 'Can only look up local users' }),
  '404 of a proxy': () => text(404, '<h1>Not Found</h1>'),
  '404 of an unknown path': () => json(404, { errcode: 'M_UNRECOGNIZED', error: 'Unrecognized' }),
  '410 that says not found': () => json(410, { errcode: 'M_NOT_FOUND', error: 'Gone' }),
  '429': () => json(429, { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 1000 }),
  '500': () => json(500, { errcode: 'M_UNKNOWN', error: 'Internal server error' }),
  '502': () => text(502, '<h1>Bad Gateway</h1>'),
  '503 that says deactivated': (name) => json(503, { name, deactivated: true }),
  'a redirect': (name) =>
    json(302, { name, deactivated: true }, { Location: `/_synapse/admin/v2/users/${name}` }),
  'an empty body': () => text(200, ''),
  HTML: () => text(200, '<h1>Welcome</h1>'),
  'JSON that is cut off': () => text(200, '{"name":"@u0:hs1","deactivated":true'),
  'a list': (name) => json(200, [{ name, deactivated: true }]),
  'another user': () => json(200, { name: '@other:hs1', deactivated: true }),
  'no name': () => json(200, { deactivated: true }),
  'deactivated missing': (name) => json(200, { name }),
  'deactivated null': (name) => json(200, { name, deactivated: null }),
  'deactivated as text': (name) => json(200, { name, deactivated: 'true' }),
  'deactivated as a number': (name) => json(200, { name, deactivated: 1 }),
  'no answer': () => (response) => response.destroy(),
  'no answer in time': () => () => undefined,
  'an answer that breaks off': (name) => (response) => {
    response.writeHead(200, { 'Content-Length': '1000' });
    response.write(JSON.stringify({ name, deactivated: true }));
    setTimeout(() => response.destroy(), 5);
  },
};

const userAnswer = (userId: string, kind: string): Answer => {
  if (kind === 'unknown') return json(404, { errcode: 'M_NOT_FOUND', error: 'User not found' });
  return BAD[kind]?.(userId) ?? json(200, { name: userId, deactivated: kind === 'closed' });
};

const database = databases[0]!;

describe(`what a homeserver says of accounts, on ${database.name}`, () => {
  let stored: TestDatabase;
  let application: TestApplication;
  let homeserver: FakeService;
  let erasure: RoomKeysClosedAccounts;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-accounts-'));
    stored = await database.create();
    application = await startApplication(stored, {
      rateLimit: false,
      verifyAccessToken: (userId) => ({ userId }),
    });
    homeserver = await startService(json(500, {}));
    erasure = new RoomKeysClosedAccounts(application.dataSource);
  });
  afterAll(async () => {
    await homeserver.close();
    await application.close();
    await stored.drop();
    await rm(folder, { recursive: true });
  });

  const users = async () => {
    const found: string[] = [];
    for await (const page of new RoomKeysMaintenance(application.dataSource).storedUsers())
      found.push(...page.map(({ userId }) => userId));
    return found;
  };
  /** These users have a backup, and no others. */
  const fill = async (wanted: readonly string[]) => {
    const there = await users();
    const maintenance = new RoomKeysMaintenance(application.dataSource);
    for (const userId of there) if (!wanted.includes(userId)) await maintenance.eraseUser(userId);
    for (const userId of wanted)
      if (!there.includes(userId)) await application.client(userId).createBackup();
  };
  const source = (timeoutMs = 10_000) => ({
    homeserverUrl: homeserver.url,
    adminToken: TOKEN,
    timeoutMs,
  });
  /** Answers of the first and of the second look, by user. */
  const answerWith = (looks: Record<string, readonly [string, string]>) => {
    const asked = new Map<string, number>();
    homeserver.answer = (response, request) => {
      expect(request.headers.authorization).toBe(`Bearer ${TOKEN}`);
      expect(request.method).toBe('GET');
      if (request.url === '/_matrix/client/v3/account/whoami')
        return json(200, { user_id: '@admin:hs1', is_guest: false })(response, request);
      const [, encoded = ''] = /^\/_synapse\/admin\/v2\/users\/([^/?]+)$/.exec(request.url) ?? [];
      const userId = decodeURIComponent(encoded);
      const look = asked.get(userId) ?? 0;
      asked.set(userId, look + 1);
      return userAnswer(userId, looks[userId]?.[look] ?? 'open')(response, request);
    };
  };

  it.each(Object.keys(BAD))('%s erases no user', async (kind) => {
    const names = Array.from({ length: 12 }, (_, n) => `@u${n}:hs1`);
    await fill(names);
    const looks = Object.fromEntries(names.map((name) => [name, ['closed', 'closed'] as const]));
    answerWith({ ...looks, '@u7:hs1': [kind, 'closed'] });
    const timeoutMs = kind === 'no answer in time' ? 150 : undefined;
    const failed = erasure.erase(source(timeoutMs), { maxShare: 1, eraseUnknown: true });
    await expect(failed).rejects.toThrow(RoomKeysSourceError);
    await expect(failed).rejects.toThrow(/^The homeserver (answered|did not answer)/);
    await expect(failed).rejects.not.toThrow(TOKEN);
    expect(await users()).toHaveLength(12);
  });

  it.each<[string, Answer]>([
    ['401', json(401, { errcode: 'M_UNKNOWN_TOKEN' })],
    ['no JSON', text(200, '<h1>Welcome</h1>')],
    ['no user id', json(200, {})],
    ['a user id without a server', json(200, { user_id: '@admin' })],
    ['a number', json(200, { user_id: 7 })],
    ['500', json(500, { user_id: '@admin:hs1' })],
  ])('%s to whoami erases nobody', async (_, answer) => {
    await fill(['@u0:hs1']);
    homeserver.answer = (response, request) =>
      request.url.endsWith('/whoami')
        ? answer(response, request)
        : json(200, { name: '@u0:hs1', deactivated: true })(response, request);
    await expect(erasure.erase(source(), { maxShare: 1 })).rejects.toThrow(RoomKeysSourceError);
    expect(await users()).toEqual(['@u0:hs1']);
  });

  it.each([Number.NaN, -1, 0, 0.4999])('a share of %p refuses', async (maxShare) => {
    await fill(['@u0:hs1', '@u1:hs1']);
    answerWith({ '@u0:hs1': ['closed', 'closed'] });
    const result = await erasure.erase(source(), { maxShare });
    expect(result).toMatchObject({ erased: { users: 0 }, refusal: expect.any(String) });
    expect(await users()).toHaveLength(2);
  });

  it('whatever the answers are, erases those alone who are closed at both looks', async () => {
    const good = fc.constantFrom<Good>(...GOOD);
    // time-outs are tried above; here they would take all of the time
    const bad = fc.constantFrom(...Object.keys(BAD).filter((kind) => kind !== 'no answer in time'));
    const looks = fc.array(
      fc.tuple(
        fc.oneof({ weight: 40, arbitrary: good }, { weight: 1, arbitrary: bad }),
        fc.oneof({ weight: 8, arbitrary: good }, { weight: 1, arbitrary: bad }),
      ),
      { minLength: 1, maxLength: 9 },
    );
    const seen = { failed: 0, refused: 0, stopped: 0, erased: 0 };
    await fc.assert(
      fc.asyncProperty(
        looks,
        fc.boolean(),
        fc.constantFrom(0, 0.3, 0.6, 1),
        fc.boolean(),
        async (answers, eraseUnknown, maxShare, dryRun) => {
          const names = answers.map((_, n) => `@u${n}:hs1`);
          await fill(names);
          answerWith(Object.fromEntries(answers.map((look, n) => [names[n]!, look])));
          const reported: RoomKeysClosedAccount[] = [];
          const onUser = (user: RoomKeysClosedAccount) => reported.push(user);
          const result = await erasure
            .erase(source(), { eraseUnknown, maxShare, dryRun, onUser })
            .catch((error: unknown) => {
              expect(error).toBeInstanceOf(RoomKeysSourceError);
              return undefined;
            });

          // what has to come of it, in the order of the users
          const first = answers.map(([kind]) => kind);
          const fails = first.some((kind) => kind in BAD);
          const goes = (kind: string) => kind === 'closed' || (eraseUnknown && kind === 'unknown');
          const refuses =
            first.every((kind) => kind === 'unknown') ||
            first.filter(goes).length > answers.length * maxShare;
          const erased: string[] = [];
          let stopped = false;
          for (const [n, [one, other]] of answers.entries()) {
            if (fails || refuses || dryRun || stopped || !goes(one)) continue;
            if (other in BAD) stopped = true;
            else if (other === one) erased.push(names[n]!);
          }
          expect(await users()).toEqual(names.filter((name) => !erased.includes(name)));
          expect(result === undefined).toBe(fails || stopped);
          if (result) {
            expect(result.refusal !== undefined).toBe(refuses);
            expect(result.erased.users).toBe(erased.length);
            expect(reported.map(({ userId }) => userId)).toEqual(
              names.filter((_, n) => first[n] !== 'open'),
            );
          }
          expect(
            reported.filter(({ outcome }) => outcome === 'erased').map(({ userId }) => userId),
          ).toEqual(erased);
          seen.failed += Number(fails);
          seen.stopped += Number(stopped);
          seen.refused += Number(!fails && refuses);
          seen.erased += Number(erased.length > 0);
        },
      ),
      { numRuns: 150 },
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
  });

  describe('in its database', () => {
    const file = (statements: string) => {
      const path = join(folder, `${Math.random()}.db`);
      new Sqlite(path).exec(statements).close();
      return { database: path };
    };
    const table = 'CREATE TABLE users (name TEXT, deactivated SMALLINT);';

    beforeEach(() => fill(['@u0:hs1', '@u1:hs1']));
    afterEach(async () => expect(await users()).toEqual(['@u0:hs1', '@u1:hs1']));

    it.each([
      ['no users', table],
      ['no table', ''],
      [
        'a table without the column',
        "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('@u0:hs1')",
      ],
      ['NULL', `${table} INSERT INTO users VALUES ('@u0:hs1', 1), ('@u1:hs1', NULL)`],
      ['2', `${table} INSERT INTO users VALUES ('@u0:hs1', 1), ('@u1:hs1', 2)`],
      ['text', `${table} INSERT INTO users VALUES ('@u0:hs1', 'true'), ('@u1:hs1', 0)`],
    ])('%s erases no user', async (_, statements) => {
      const failed = erasure.erase(file(statements), { maxShare: 1, eraseUnknown: true });
      await expect(failed).rejects.toThrow(RoomKeysSourceError);
    });

    it.each([
      ['other users', `('@else:hs1', 0)`],
      ['users in other letters', `('@U0:hs1', 1), ('@U1:hs1', 1)`],
      ['users of another server', `('@u0:hs2', 1), ('@u1:hs2', 1)`],
      ['a server whose name ends alike', `('@u0:sub.hs1', 1)`],
      ['all deactivated', `('@u0:hs1', 1), ('@u1:hs1', 1)`],
    ])('%s are refused', async (_, values) => {
      const from = file(`${table} INSERT INTO users VALUES ${values}`);
      const result = await erasure.erase(from, { eraseUnknown: true });
      expect(result).toMatchObject({ erased: { users: 0 }, refusal: expect.any(String) });
    });
  });
});
