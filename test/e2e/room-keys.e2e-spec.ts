/** Proves the nine operations on keys, over HTTP, on each database: the rule, count and etag, atomic requests. */
import { type TestApplication, startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const ROOM = '!room:hs1';

describe.each(databases)('keys on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(async () => {
    alice = application.client(`alice${users++}`);
    await alice.createBackup();
  });

  const state = async () => {
    const { body } = await alice.get('/version');
    return { count: body.count as number, etag: body.etag as string };
  };

  it('stores in three shapes and reads in three shapes', async () => {
    const a = keyData({ session_data: { n: 'a' } });
    const b = keyData({ session_data: { n: 'b' } });
    const c = keyData({ session_data: { n: 'c' } });
    expect((await alice.put('/keys?version=1', roomsBody([[ROOM, 's1', a]]))).body.count).toBe(1);
    expect(
      (await alice.put(`${keyPath(ROOM)}?version=1`, { sessions: { s2: b } })).body.count,
    ).toBe(2);
    expect((await alice.put(`${keyPath('!two:hs1', 's1')}?version=1`, c)).body.count).toBe(3);

    expect(await alice.get('/keys?version=1')).toMatchObject({ status: 200 });
    expect((await alice.get('/keys?version=1')).body).toEqual({
      rooms: { [ROOM]: { sessions: { s1: a, s2: b } }, '!two:hs1': { sessions: { s1: c } } },
    });
    expect((await alice.get(`${keyPath(ROOM)}?version=1`)).body).toEqual({
      sessions: { s1: a, s2: b },
    });
    expect((await alice.get(`${keyPath('!two:hs1', 's1')}?version=1`)).body).toEqual(c);
  });

  it('answers empty reads as the specification says', async () => {
    expect((await alice.get('/keys?version=1')).body).toEqual({ rooms: {} });
    expect((await alice.get(`${keyPath(ROOM)}?version=1`)).body).toEqual({ sessions: {} });
    expect(await alice.get(`${keyPath(ROOM, 's')}?version=1`)).toMatchObject({
      status: 404,
      body: { errcode: 'M_NOT_FOUND' },
    });
  });

  it('does not show a room whose keys are all deleted', async () => {
    await alice.put(`${keyPath(ROOM, 's')}?version=1`, keyData());
    await alice.delete(`${keyPath(ROOM, 's')}?version=1`);
    expect((await alice.get('/keys?version=1')).body).toEqual({ rooms: {} });
    expect((await alice.get(`${keyPath(ROOM)}?version=1`)).body).toEqual({ sessions: {} });
  });

  it('ignores fields that it does not know, and does not store them', async () => {
    const key = { ...keyData(), more: { a: 1 } };
    expect(
      (await alice.put('/keys?version=1', { ...roomsBody([[ROOM, 's', key]]), more: 1 })).status,
    ).toBe(200);
    expect((await alice.get(`${keyPath(ROOM, 's')}?version=1`)).body).toEqual(keyData());
  });

  it.each([
    '{}',
    '{"a":[],"__proto__":1,"n":12345678901234567890,"e":1e999,"z":-0,"s":"\\ud83d\\ude00 \\ud800 é"}',
    `{"x":"${'"\\\\'.replaceAll('"', '\\"').repeat(10_000)}"}`,
    `{"x":"${'😀'.repeat(30_000)}"}`,
  ])('returns session_data as it was sent: %.50s', async (data) => {
    const body = `{"first_message_index":1,"forwarded_count":0,"is_verified":false,"session_data":${data}}`;
    expect((await alice.send('PUT', `${keyPath(ROOM, 's')}?version=1`, body)).status).toBe(200);
    const { body: got, text } = await alice.get(`${keyPath(ROOM, 's')}?version=1`);
    expect(got.session_data).toEqual(JSON.parse(data));
    if (data.includes('1e999')) expect(text).toContain('"n":12345678901234567890,"e":1e999,"z":-0');
  });

  describe('the replacement rule', () => {
    const ranks = [true, false].flatMap((is_verified) =>
      [0, 1].flatMap((first_message_index) =>
        [0, 1].map((forwarded_count) => ({ is_verified, first_message_index, forwarded_count })),
      ),
    );

    it('holds for every pair of keys, through each of the three uploads', async () => {
      const uploads = [
        (session: string, key: object) =>
          alice.put('/keys?version=1', roomsBody([[ROOM, session, key]])),
        (session: string, key: object) =>
          alice.put(`${keyPath(ROOM)}?version=1`, { sessions: { [session]: key } }),
        (session: string, key: object) => alice.put(`${keyPath(ROOM, session)}?version=1`, key),
      ];
      for (const [u, upload] of uploads.entries()) {
        for (const [s, stored] of ranks.entries()) {
          for (const [c, candidate] of ranks.entries()) {
            const session = `${u}-${s}-${c}`;
            const first = keyData({ ...stored, session_data: { which: 'stored' } });
            const second = keyData({ ...candidate, session_data: { which: 'candidate' } });
            const before = (await upload(session, first)).body;
            const after = (await upload(session, second)).body;
            // `ranks` lists the better ones first
            const replaces = c < s;
            expect((await alice.get(`${keyPath(ROOM, session)}?version=1`)).body).toEqual(
              replaces ? second : first,
            );
            expect(after.count).toBe(before.count);
            expect(after.etag !== before.etag).toBe(replaces);
          }
        }
      }
    });

    it('keeps each key of a request by itself', async () => {
      const old = keyData({ first_message_index: 5, session_data: { old: true } });
      await alice.put(
        '/keys?version=1',
        roomsBody([
          [ROOM, 'worse', old],
          [ROOM, 'better', old],
        ]),
      );
      const { body } = await alice.put(
        '/keys?version=1',
        roomsBody([
          [ROOM, 'worse', keyData({ first_message_index: 6 })],
          [ROOM, 'better', keyData({ first_message_index: 4 })],
          ['!new:hs1', 'new', keyData()],
        ]),
      );
      expect(body.count).toBe(3);
      expect((await alice.get('/keys?version=1')).body).toEqual(
        roomsBody([
          [ROOM, 'worse', old],
          [ROOM, 'better', keyData({ first_message_index: 4 })],
          ['!new:hs1', 'new', keyData()],
        ]),
      );
    });

    it('tells large numbers apart', async () => {
      const most = Number.MAX_SAFE_INTEGER;
      await alice.put(
        `${keyPath(ROOM, 's')}?version=1`,
        keyData({ first_message_index: most, forwarded_count: most }),
      );
      await alice.put(
        `${keyPath(ROOM, 's')}?version=1`,
        keyData({ first_message_index: most, forwarded_count: most - 1 }),
      );
      expect((await alice.get(`${keyPath(ROOM, 's')}?version=1`)).body).toMatchObject({
        first_message_index: most,
        forwarded_count: most - 1,
      });
    });
  });

  describe('count and etag', () => {
    it('are the same in the response and in the backup', async () => {
      const { body } = await alice.put(`${keyPath(ROOM, 's')}?version=1`, keyData());
      expect(body).toEqual(await state());
      expect(body.count).toBe(1);
    });

    it('stay when nothing changes, and move when anything does, to a value never seen before', async () => {
      const seen = new Set([(await state()).etag]);
      const changes = async (
        action: () => Promise<{ status: number; body: { count: number; etag: string } }>,
        count: number,
      ) => {
        const answer = await action();
        expect(answer.status).toBe(200);
        expect(answer.body).toEqual(await state());
        expect(answer.body.count).toBe(count);
        expect(seen.has(answer.body.etag)).toBe(false);
        seen.add(answer.body.etag);
      };
      const keeps = async (
        action: () => Promise<{ status: number; body: { count: number; etag: string } }>,
      ) => {
        const before = await state();
        const answer = await action();
        expect(answer.status).toBe(200);
        expect(answer.body).toEqual(before);
        expect(await state()).toEqual(before);
      };
      const put = (session: string, key = keyData()) =>
        alice.put(`${keyPath(ROOM, session)}?version=1`, key);
      await changes(() => put('a'), 1);
      await keeps(() => put('a'));
      await changes(() => put('b'), 2);
      await keeps(() => alice.put('/keys?version=1', { rooms: {} }));
      await keeps(() => alice.put('/keys?version=1', { rooms: { [ROOM]: { sessions: {} } } }));
      await keeps(() => alice.put(`${keyPath(ROOM)}?version=1`, { sessions: {} }));
      await changes(() => put('a', keyData({ is_verified: true, first_message_index: 9 })), 2);
      await keeps(() => put('a', keyData({ is_verified: false, first_message_index: 0 })));
      await keeps(() => alice.delete(`${keyPath(ROOM, 'none')}?version=1`));
      await keeps(() => alice.delete(`${keyPath('!none:hs1', 'a')}?version=1`));
      await keeps(() => alice.delete(`${keyPath('!none:hs1')}?version=1`));
      await changes(() => alice.delete(`${keyPath(ROOM, 'a')}?version=1`), 1);
      await changes(() => put('a'), 2);
      await changes(() => alice.delete(`${keyPath(ROOM)}?version=1`), 0);
      await keeps(() => alice.delete(`${keyPath(ROOM)}?version=1`));
      await keeps(() => alice.delete('/keys?version=1'));
      await changes(() => put('a'), 1);
      await changes(() => alice.delete('/keys?version=1'), 0);
      await changes(() => put('a'), 1);
    });
  });

  describe('which backup', () => {
    const everyUpload = (version: string) => [
      alice.put(`/keys?version=${version}`, roomsBody([[ROOM, 's', keyData()]])),
      alice.put(`${keyPath(ROOM)}?version=${version}`, { sessions: { s: keyData() } }),
      alice.put(`${keyPath(ROOM, 's')}?version=${version}`, keyData()),
    ];

    it('refuses an older one with the id of the one that is current now', async () => {
      await alice.createBackup();
      await alice.createBackup();
      await alice.delete('/version/3');
      for (const answer of await Promise.all(everyUpload('1'))) {
        expect(answer).toMatchObject({
          status: 403,
          body: { errcode: 'M_WRONG_ROOM_KEYS_VERSION', current_version: '2' },
        });
      }
      expect((await alice.get('/keys?version=1')).body).toEqual({ rooms: {} });
    });

    it('refuses one that does not exist, or is deleted', async () => {
      await alice.createBackup();
      await alice.delete('/version/1');
      const noBackups = [
        '1',
        '3',
        '0',
        '01',
        '%2B1',
        '1.0',
        '2e0',
        '9'.repeat(40),
        'x',
        '%20' + '2',
      ];
      for (const version of noBackups) {
        for (const answer of await Promise.all(everyUpload(version))) {
          expect(answer).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } });
        }
        expect((await alice.get(`/keys?version=${version}`)).status).toBe(404);
        expect((await alice.delete(`/keys?version=${version}`)).status).toBe(404);
        expect((await alice.get(`${keyPath(ROOM, 's')}?version=${version}`)).status).toBe(404);
      }
      expect(await state()).toMatchObject({ count: 0 });
    });

    it('refuses keys of a user without any backup with 404', async () => {
      const zoe = application.client(`zoe${users}`);
      expect(await zoe.put('/keys?version=1', { rooms: {} })).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND' },
      });
    });

    it('reads and deletes in older ones', async () => {
      await alice.put(
        '/keys?version=1',
        roomsBody([
          [ROOM, 'a', keyData()],
          [ROOM, 'b', keyData()],
          ['!two:hs1', 'c', keyData()],
        ]),
      );
      await alice.createBackup();
      expect((await alice.get(`${keyPath(ROOM, 'a')}?version=1`)).status).toBe(200);
      expect((await alice.delete(`${keyPath(ROOM, 'a')}?version=1`)).body.count).toBe(2);
      expect((await alice.delete(`${keyPath(ROOM)}?version=1`)).body.count).toBe(1);
      expect((await alice.delete('/keys?version=1')).body.count).toBe(0);
      expect((await alice.get('/version/1')).body.count).toBe(0);
    });

    it('keeps the keys of two backups, and of two users, apart', async () => {
      await alice.put(
        `${keyPath(ROOM, 's')}?version=1`,
        keyData({ session_data: { of: 'first' } }),
      );
      await alice.createBackup();
      await alice.put(
        `${keyPath(ROOM, 's')}?version=2`,
        keyData({ session_data: { of: 'second' } }),
      );
      const bob = application.client(`bob${users}`);
      await bob.createBackup();
      expect((await bob.get('/keys?version=1')).body).toEqual({ rooms: {} });
      expect((await bob.delete('/keys?version=1')).body.count).toBe(0);
      expect((await alice.get(`${keyPath(ROOM, 's')}?version=1`)).body.session_data).toEqual({
        of: 'first',
      });
      expect((await alice.get(`${keyPath(ROOM, 's')}?version=2`)).body.session_data).toEqual({
        of: 'second',
      });
    });
  });

  it('stores nothing of a request with one bad key among many', async () => {
    await alice.put(`${keyPath(ROOM, 'old')}?version=1`, keyData({ first_message_index: 9 }));
    const before = await alice.get('/keys?version=1');
    const etag = (await state()).etag;
    const keys = Array.from({ length: 100 }, (_, n) => [ROOM, `s${n}`, keyData()] as const);
    const bad = [
      [ROOM, 'bad', keyData({ is_verified: 1 })],
      [ROOM, 'bad', keyData({ first_message_index: -1 })],
      [ROOM, 'bad', { ...keyData(), session_data: undefined }],
      [ROOM, 'x'.repeat(256), keyData()],
    ] as const;
    for (const one of bad) {
      const answer = await alice.put(
        '/keys?version=1',
        roomsBody([[ROOM, 'old', keyData()], ...keys, one]),
      );
      expect(answer.status).toBe(400);
    }
    expect((await alice.get('/keys?version=1')).text).toBe(before.text);
    expect((await state()).etag).toBe(etag);
  });

  it('loses nothing when eight devices upload the same sessions, and some of their own, at once', async () => {
    const devices = Array.from({ length: 8 }, (_, d) => d);
    const upload = (device: number) => {
      const shared = Array.from({ length: 50 }, (_, n) => {
        // every device holds the best copy of some session
        const key = keyData({ first_message_index: (n + device) % 8, session_data: { device } });
        return [`!r${n % 3}:hs1`, `shared${n}`, key] as const;
      });
      const own = Array.from(
        { length: 5 },
        (_, n) => [ROOM, `own-${device}-${n}`, keyData()] as const,
      );
      return alice.put('/keys?version=1', roomsBody([...shared, ...own]));
    };
    const answers = await Promise.all(devices.map(upload));
    expect(answers.map(({ status }) => status)).toEqual(devices.map(() => 200));
    const { rooms } = (await alice.get('/keys?version=1')).body as {
      rooms: Record<string, { sessions: Record<string, { first_message_index: number }> }>;
    };
    const stored = Object.values(rooms).flatMap(({ sessions }) => Object.entries(sessions));
    expect(stored).toHaveLength(50 + 8 * 5);
    expect(stored.every(([, key]) => key.first_message_index === 0)).toBe(true);
    expect((await state()).count).toBe(stored.length);
    expect(new Set(answers.map(({ body }) => body.etag as string)).size).toBe(8);
  });
});
