/**
 * Proves that nobody can see, change, count or infer anything of another user's backups: whatever a
 * stranger asks, of any route that there is, is answered byte for byte as by a server on which the
 * other user never was; and after all of it the other's backups are what they were.
 */
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { routes } from '../support/routes.js';
import { Wire, type WireAnswer } from './wire.js';

const ROOM_KEYS = '/_matrix/client/v3/room_keys';
const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';

const key = (mark: string, index = 5) =>
  `{"first_message_index":${index},"forwarded_count":1,"is_verified":false,"session_data":{"of":"${mark}"}}`;
const information = (mark: string) => `{"algorithm":"${ALGORITHM}","auth_data":{"of":"${mark}"}}`;

/** Each body that any operation takes: every route that takes one is sent all of them. */
const bodies = (mark: string) => [
  information(mark),
  // better than what anybody has stored
  key(mark, 0),
  `{"sessions":{"s1":${key(mark, 0)}}}`,
  `{"rooms":{"!r1:hs1":{"sessions":{"s1":${key(mark, 0)}}}}}`,
];

/** Versions that alice has deleted, has, has as the current one, and never had. */
const VERSIONS = ['1', '2', '3', '4', '7'];
/** Ids of her keys, and an unused one. */
const IDS: Record<string, string[]> = {
  version: VERSIONS,
  roomId: ['!r1%3Ahs1', '!none%3Ahs1'],
  sessionId: ['s1', 'none'],
};

interface Asked {
  method: string;
  path: string;
  body?: string;
}

/** All that can be asked of one route: reads first, deletions last. */
function* requestsOf(route: string, mark: string): Generator<Asked> {
  const [method = '', pattern = ''] = route.split(' ');
  let paths = [pattern];
  for (const [placeholder, name = ''] of pattern.matchAll(/:(\w+)/g)) {
    const values = IDS[name];
    if (!values) throw new Error(`This test does not know what ${placeholder} of ${route} can be.`);
    paths = paths.flatMap((path) => values.map((value) => path.replace(placeholder, value)));
  }
  const inQuery = pattern.includes('/room_keys/keys')
    ? VERSIONS.map((one) => `?version=${one}`)
    : [''];
  for (const path of paths.flatMap((one) => inQuery.map((query) => one + query))) {
    if (method === 'POST' || method === 'PUT') {
      for (const body of bodies(mark)) yield { method, path, body };
    } else yield { method, path };
  }
}

const ORDER = ['GET', 'PUT', 'DELETE', 'POST'];
/** Old clients have prefixes of their own. A route does what it does under each of them, whatever the database. */
const prefixesOn = (database: string) =>
  database === 'SQLite' ? ['/v3/', '/r0/', '/unstable/'] : ['/v3/'];
const asked = (mark: string, prefixes: readonly string[]): Asked[] => {
  const all = routes.flatMap(({ route }) =>
    prefixes.flatMap((prefix) => [...requestsOf(route.replace('/v3/', prefix), mark)]),
  );
  const inOrder = ORDER.flatMap((method) => all.filter((one) => one.method === method));
  expect(inOrder).toHaveLength(all.length);
  // and once more what could be seen of what all that left behind
  return [...inOrder, ...all.filter(({ method }) => method === 'GET')];
};

/** Strangers, by what they have themselves. */
const STRANGERS = {
  'who never had a backup': { token: 'bob', own: [] },
  'with backups of the same versions': { token: 'carol', own: ['1', '2', '3'], deleted: ['1'] },
  'whose backups are all deleted': {
    token: 'dave',
    own: ['1', '2', '3'],
    deleted: ['1', '2', '3'],
  },
  'who is a guest': { token: 'guest-zoe', own: [] },
  'whose token nobody knows': { token: 'nobody', own: [] },
  'without a token': { token: undefined, own: [] },
  'whose user id differs in case alone': { token: 'Alice', own: [] },
  'whose user id goes on where hers ends': { token: 'alice2', own: [] },
};

interface World {
  database: TestDatabase;
  application: TestApplication;
  wire: Wire;
}

describe.each(databases)('a user and strangers on $name', ({ name, create }) => {
  const prefixes = prefixesOn(name);
  const worlds: World[] = [];
  const newWorld = async (): Promise<World> => {
    const database = await create();
    const application = await startApplication(database);
    const world = { database, application, wire: new Wire(application.url) };
    worlds.push(world);
    return world;
  };
  afterEach(async () => {
    for (const { wire, application, database } of worlds.splice(0)) {
      wire.close();
      await application.close();
      await database.drop();
    }
  });

  const call = ({ wire }: World, token: string | undefined, { method, path, body }: Asked) =>
    wire.send(method, path, token === undefined ? {} : { Authorization: `Bearer ${token}` }, body);

  /** Backups of which some are deleted, with keys in each. */
  async function give(world: World, token: string, own: string[], deleted: string[] = []) {
    for (const version of own) {
      await call(world, token, {
        method: 'POST',
        path: `${ROOM_KEYS}/version`,
        body: information(token),
      });
      const body = `{"rooms":{"!r1:hs1":{"sessions":{"s1":${key(token)},"s2":${key(token)}}},"!r2:hs1":{"sessions":{"s1":${key(token)}}}}}`;
      const path = `${ROOM_KEYS}/keys?version=${version}`;
      expect((await call(world, token, { method: 'PUT', path, body })).status).toBe(200);
    }
    for (const version of deleted) {
      const path = `${ROOM_KEYS}/version/${version}`;
      expect((await call(world, token, { method: 'DELETE', path })).status).toBe(200);
    }
  }

  /** All that alice can read. */
  async function stateOf(world: World): Promise<string[]> {
    const reads = asked('', prefixes).filter(({ method }) => method === 'GET');
    const answers = await Promise.all(reads.map((one) => call(world, 'alice', one)));
    return answers.map(told);
  }

  it.each(Object.entries(STRANGERS))(
    'a stranger %s learns nothing, and changes nothing',
    async (_, { token, own, ...rest }) => {
      const [withAlice, withoutAlice] = [await newWorld(), await newWorld()];
      await give(withAlice, 'alice', ['1', '2', '3'], ['1']);
      const deleted = 'deleted' in rest ? rest.deleted : [];
      for (const world of [withAlice, withoutAlice]) {
        if (token !== undefined) await give(world, token, own, deleted);
      }
      const before = await stateOf(withAlice);
      expect(before.filter((text) => text.includes('alice')).length).toBeGreaterThan(10);

      const current = async (world: World) =>
        told(await call(world, 'alice', { method: 'GET', path: `${ROOM_KEYS}/version` }));
      const first = await current(withAlice);

      for (const one of asked('stranger', prefixes)) {
        const [here, there] = await Promise.all([
          call(withAlice, token, one),
          call(withoutAlice, token, one),
        ]);
        expect({ ...one, answer: told(here) }).toEqual({ ...one, answer: told(there) });
        expect(here.text).not.toContain('alice');
        // at a glance each time, closely in the end
        if (one.method !== 'GET') expect(await current(withAlice)).toBe(first);
      }
      expect(await stateOf(withAlice)).toEqual(before);
    },
  );
});

/** An answer, all of it but when it was given. */
function told({ status, headers, text }: WireAnswer): string {
  const { date, ...rest } = headers;
  expect(date).toBeDefined();
  return JSON.stringify({ status, rest, text });
}
