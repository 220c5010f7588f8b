/**
 * Proves that a flood of made-up tokens neither overloads the homeserver nor locks out users: a bounded
 * number of checks is under way, and good tokens are answered as usual meanwhile.
 */
import { setTimeout } from 'node:timers/promises';
import { type AccessTokenVerifier } from '../../src/index.js';
import { homeserverTokens, cached } from '../../src/access-tokens/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { MatrixClient } from '../support/matrix-client.js';
import { type BurstRequest, statusesOf } from './burst.js';
import { type FakeService, json, startService } from './fake-service.js';

const FLOOD = 2500;
const AT_ONCE = 32;
const MAX_WAITING_PER_ADDRESS = 500;
const ANSWER_MS = 20;
/** Enough for any machine to receive the flood while the homeserver holds its answers back. */
const TIMEOUT_MS = 600_000;

const alice = json(200, { user_id: '@alice:hs1' });
const unknown = json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.' });

let database: TestDatabase;
let application: TestApplication;
let service: FakeService;
let verifier: AccessTokenVerifier;
let time: number;
/** Requests that reached the verifier. */
let arrived: number;
/** Requests that the homeserver has not answered yet, and the maximum of that number. */
let underWay: number;
let maxUnderWay: number;
/** Until it opens, the homeserver answers nothing. */
let gate: { promise: Promise<void>; open: () => void };

function closeGate(): void {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => (open = resolve));
  gate = { promise, open };
}

beforeAll(async () => {
  database = await databases[0]!.create();
  application = await startApplication(database, {
    verifyAccessToken: (token, request) => {
      arrived++;
      return verifier(token, request);
    },
  });
});
afterAll(async () => {
  await application.close();
  await database.drop();
});
beforeEach(async () => {
  time = arrived = underWay = maxUnderWay = 0;
  closeGate();
  service = await startService(async (response, request) => {
    maxUnderWay = Math.max(maxUnderWay, ++underWay);
    await gate.promise;
    await setTimeout(ANSWER_MS);
    underWay--;
    const isGood = request.headers.authorization?.startsWith('Bearer good');
    (isGood ? alice : unknown)(response, request);
  });
  const verify = homeserverTokens({ homeserverUrl: service.url, timeoutMs: TIMEOUT_MS });
  verifier = cached(verify, { now: () => time, maxWaitMs: TIMEOUT_MS });
});
afterEach(async () => {
  gate.open();
  await service.close();
});

const until = async (isSo: () => boolean) => {
  while (!isSo()) await setTimeout(5);
};

/** How many checks the homeserver received before that of a token. */
const checksBefore = (token: string) =>
  service.received.findIndex(({ headers }) => headers.authorization === `Bearer ${token}`);

/**
 * Sends a flood, during which good tokens are used: one that is cached, one whose time is over, and one
 * that was never seen.
 */
async function floodFrom(addressOf: (n: number) => string | undefined, goodAddress = addressOf(0)) {
  const use = async (token: string) => {
    const request = { token, forwardedFor: goodAddress };
    const [status] = await statusesOf(application.url, [request]);
    return status;
  };
  gate.open();
  await new MatrixClient(application.url, 'good-expired').createBackup();
  time = 30_000;
  expect(await use('good-cached')).toBe('200');

  closeGate();
  arrived = maxUnderWay = service.received.length = 0;
  const requests = Array.from({ length: FLOOD }, (_, n): BurstRequest => {
    return { token: `made-up-${n}`, forwardedFor: addressOf(n) };
  });
  let isOver = false;
  const flood = statusesOf(application.url, requests).finally(() => (isOver = true));
  await until(() => arrived === FLOOD);
  // while nothing moves
  expect(await use('good-cached')).toBe('200');

  const good = Promise.all([use('good-expired'), use('good-new')]);
  await until(() => arrived === FLOOD + 3);
  expect(isOver).toBe(false);
  gate.open();
  expect(await good).toEqual(['200', '200']);
  const statuses = await flood;
  expect(underWay).toBe(0);
  return Object.fromEntries(
    [...new Set(statuses)].map((status) => [status, statuses.filter((s) => s === status).length]),
  );
}

describe('during 2,500 requests with made-up tokens', () => {
  it.each([
    ['without a proxy', undefined],
    ['through a proxy', 'made up by the client, 203.0.113.7'],
  ])('from one address, %s, all goes well for users at the same address', async (_, address) => {
    const statuses = await floodFrom(() => address);
    expect(maxUnderWay).toBe(AT_ONCE / 2);
    expect(statuses).toEqual({
      // two of those that waited had to make room
      '401': AT_ONCE / 2 + MAX_WAITING_PER_ADDRESS - 2,
      '429': FLOOD - AT_ONCE / 2 - MAX_WAITING_PER_ADDRESS + 2,
    });
    // as soon as the first checks had ended
    expect(checksBefore('good-expired')).toBeLessThan(AT_ONCE);
    expect(checksBefore('good-new')).toBeLessThan(AT_ONCE);
  });

  it('from one address behind a proxy, users at other addresses do not wait at all', async () => {
    await floodFrom(() => '203.0.113.7', '198.51.100.1');
    expect(maxUnderWay).toBe(AT_ONCE / 2 + 2);
    expect(checksBefore('good-expired')).toBeLessThan(AT_ONCE / 2 + 2);
    expect(checksBefore('good-new')).toBeLessThan(AT_ONCE / 2 + 2);
  });

  it('from 50 addresses behind a proxy, users wait for one check of each at most', async () => {
    const statuses = await floodFrom((n) => `203.0.113.${n % 50}`, '198.51.100.1');
    expect(maxUnderWay).toBe(AT_ONCE);
    expect(statuses).toEqual({ '401': FLOOD });
    expect(checksBefore('good-expired')).toBeLessThan(2 * AT_ONCE);
    expect(checksBefore('good-new')).toBeLessThan(2 * AT_ONCE + 50);
  });
});
