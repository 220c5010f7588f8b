/**
 * Proves that a limiter lets in as many as it says, in the order in which they came, no more than a
 * half of them for one user, and sends away who waited too long.
 */
import { Limiter } from './limiter.js';

describe('a limiter', () => {
  it('lets the next one in when one leaves, first come first served', async () => {
    const limiter = new Limiter(2, 60_000);
    const entered: number[] = [];
    const [first, second] = [await limiter.enter('a'), await limiter.enter('b')];
    const third = limiter.enter('c').then((leave) => (entered.push(3), leave));
    const fourth = limiter.enter('d').then((leave) => (entered.push(4), leave));
    await Promise.resolve();
    expect(entered).toEqual([]);
    first();
    (await third)();
    expect(entered[0]).toBe(3);
    (await fourth)();
    expect(entered).toEqual([3, 4]);
    second();
  });

  it('counts who leaves twice once', async () => {
    const limiter = new Limiter(1, 1);
    const leave = await limiter.enter('a');
    leave();
    leave();
    await limiter.enter('a');
    await expect(limiter.enter('a')).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
  });

  it('sends away who waited too long, and forgets them', async () => {
    const limiter = new Limiter(1, 1);
    const leave = await limiter.enter('a');
    await expect(limiter.enter('a')).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
    leave();
    await expect(limiter.enter('a')).resolves.toBeInstanceOf(Function);
  });

  it('keeps a half of its places for others, however many one user wants', async () => {
    const limiter = new Limiter(4, 60_000);
    const entered: string[] = [];
    const enter = (who: string) =>
      limiter.enter(who).then((leave) => {
        entered.push(who);
        return leave;
      });
    const greedy = Array.from({ length: 5 }, () => enter('greedy'));
    const others = ['b', 'c', 'd'].map(enter);
    await new Promise(setImmediate);
    expect(entered).toEqual(['greedy', 'greedy', 'b', 'c']);
    expect([limiter.inside, limiter.queued]).toEqual([4, 4]);
    // the place of another is for the first of those who may have it
    (await others[0]!)();
    await new Promise(setImmediate);
    expect(entered.slice(4)).toEqual(['d']);
    (await greedy[0]!)();
    await new Promise(setImmediate);
    expect(entered.slice(5)).toEqual(['greedy']);
    (await others[1]!)();
    await new Promise(setImmediate);
    expect(entered.slice(6)).toEqual([]);
    for (const leave of [others[2]!, greedy[1]!, greedy[2]!, greedy[3]!, greedy[4]!])
      (await leave)();
    expect([limiter.inside, limiter.queued]).toEqual([0, 0]);
  });
});
