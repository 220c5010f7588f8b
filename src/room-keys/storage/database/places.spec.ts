import { setTimeout as sleep } from 'node:timers/promises';
import { TooManyWaitingError } from '../../storage.errors.js';
import { FairSemaphore, type FairSemaphoreOptions, sharedPlaces } from './places.js';

/** Takes a place for each of many users; returns how many got one. */
async function taken(places: {
  inside: number;
  acquire: (user: string) => Promise<unknown>;
}): Promise<number> {
  for (let n = 0; n < 50; n += 1) void places.acquire(`user${n}`).catch(() => undefined);
  await new Promise(setImmediate);
  return places.inside;
}

describe('the places for connections', () => {
  it.each([3, 4, 7, 9, 10, 20])(
    'of %i connections are used in full, and no more',
    async (connections) => {
      const { changes, reads, restores } = sharedPlaces(connections);
      const all = [await taken(changes), await taken(restores), await taken(reads)];
      expect(all.reduce((sum, one) => sum + one)).toBe(connections);
      for (const one of all) expect(one).toBeGreaterThan(0);
    },
  );

  it('of two connections leave one for reads, however long changes and restores take', async () => {
    const { changes, reads, restores } = sharedPlaces(2);
    expect(restores).toBe(changes);
    expect(await taken(changes)).toBe(1);
    expect(await taken(reads)).toBe(1);
  });

  it('of one connection are all the same one', () => {
    const { changes, reads, restores } = sharedPlaces(1);
    expect(changes).toBe(reads);
    expect(restores).toBe(reads);
  });

  it('let one user have one change at a time, and half of the others', async () => {
    const { changes, reads } = sharedPlaces(20);
    for (let n = 0; n < 5; n += 1) {
      for (const places of [changes, reads]) void places.acquire('alice').catch(() => undefined);
    }
    await new Promise(setImmediate);
    expect(changes.inside).toBe(1);
    expect(reads.inside).toBe(2);
  });
});

const semaphore = (options: Partial<FairSemaphoreOptions> = {}) =>
  new FairSemaphore({
    places: 2,
    placesPerUser: 1,
    waitingPerUser: 100,
    timeoutMs: 60_000,
    ...options,
  });

/** Lets promises that are resolved go on. */
const settled = () => new Promise(setImmediate);

describe('a fair semaphore', () => {
  it('admits as many as there are places, and of one user as many as that user may have', async () => {
    const places = semaphore({ places: 3, placesPerUser: 2 });
    await places.acquire('alice');
    await places.acquire('alice');
    let third = false;
    void places.acquire('alice').then(
      () => (third = true),
      () => undefined,
    );
    await places.acquire('bob');
    await settled();
    expect(third).toBe(false);
    expect({ inside: places.inside, waiting: places.waiting }).toEqual({ inside: 3, waiting: 1 });
  });

  it('gives a free place to users in turn, however many requests each has', async () => {
    const places = semaphore({ places: 1 });
    const leave = await places.acquire('first');
    const order: string[] = [];
    const request = async (user: string) => {
      const leaveAfter = await places.acquire(user);
      order.push(user);
      await settled();
      leaveAfter();
    };
    const all = [
      ...Array.from({ length: 5 }, () => request('alice')),
      request('bob'),
      request('bob'),
      request('carol'),
    ];
    leave();
    await Promise.all(all);
    expect(order.join(' ')).toBe('alice bob carol alice bob alice alice alice');
    expect({ inside: places.inside, waiting: places.waiting }).toEqual({ inside: 0, waiting: 0 });
  });

  it('does not let a request that comes just now pass those that wait', async () => {
    const places = semaphore({ places: 1 });
    const leave = await places.acquire('alice');
    const order: string[] = [];
    const waiting = places.acquire('bob').then((next) => {
      order.push('bob');
      next();
    });
    leave();
    const late = places.acquire('carol').then(() => order.push('carol'));
    await Promise.all([waiting, late]);
    expect(order).toEqual(['bob', 'carol']);
  });

  it('refuses a user with too many waiting requests, and no other user', async () => {
    const places = semaphore({ places: 1, waitingPerUser: 2 });
    const leave = await places.acquire('alice');
    const waiting = [places.acquire('alice'), places.acquire('alice')];
    await expect(places.acquire('alice')).rejects.toThrow(TooManyWaitingError);
    const bob = places.acquire('bob');
    leave();
    (await bob)();
    for (const one of waiting) (await one)();
    expect(places.waiting).toBe(0);
  });

  it('refuses what waited too long: for others as busy, for own requests as too many', async () => {
    const places = semaphore({ places: 1, timeoutMs: 20 });
    const leave = await places.acquire('alice');
    await expect(places.acquire('bob')).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
    await expect(places.acquire('alice')).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
    const second = places.acquire('alice');
    const third = places.acquire('alice').catch((error: unknown) => error);
    leave();
    await second;
    expect(await third).toBeInstanceOf(TooManyWaitingError);
    expect({ inside: places.inside, waiting: places.waiting }).toEqual({ inside: 1, waiting: 0 });
  });

  it('is busy, not too much of one user, where others have all places and nothing may wait', async () => {
    const places = semaphore({ places: 1, waitingPerUser: 0 });
    await places.acquire('alice');
    await expect(places.acquire('bob')).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
    await expect(places.acquire('alice')).rejects.toThrow(TooManyWaitingError);
  });

  it('frees a place once, however often it is given back', async () => {
    const places = semaphore({ places: 1 });
    const leave = await places.acquire('alice');
    leave();
    leave();
    expect(places.inside).toBe(0);
    await places.acquire('bob');
    let second = false;
    void places.acquire('carol').then(
      () => (second = true),
      () => undefined,
    );
    await settled();
    expect(second).toBe(false);
  });

  it('says from whom a place would help those that wait', async () => {
    const places = semaphore();
    await places.acquire('alice');
    await places.acquire('bob');
    expect(places.isWantedFrom('alice')).toBe(false);
    void places.acquire('alice').catch(() => undefined);
    expect(places.isWantedFrom('alice')).toBe(true);
    expect(places.isWantedFrom('bob')).toBe(false);
    void places.acquire('carol').catch(() => undefined);
    expect(places.isWantedFrom('bob')).toBe(true);
  });

  it('admits all in the end, in a crowd', async () => {
    const places = semaphore({ places: 3, placesPerUser: 2 });
    let most = 0;
    const one = async (user: string) => {
      const leave = await places.acquire(user);
      most = Math.max(most, places.inside);
      await sleep(Math.random() * 2);
      leave();
    };
    await Promise.all(Array.from({ length: 300 }, (_, n) => one(`user${(n * n) % 7}`)));
    expect(most).toBe(3);
    expect({ inside: places.inside, waiting: places.waiting }).toEqual({ inside: 0, waiting: 0 });
  });
});
