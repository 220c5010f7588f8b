import { sharedPlaces } from './places.js';

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
