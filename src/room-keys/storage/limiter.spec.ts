/** Proves that a limiter lets in as many as it says, in the order in which they came, and sends away who waited too long. */
import { Limiter } from './limiter.js';

describe('a limiter', () => {
  it('lets the next one in when one leaves, first come first served', async () => {
    const limiter = new Limiter(2, 60_000);
    const entered: number[] = [];
    const [first, second] = [await limiter.enter(), await limiter.enter()];
    const third = limiter.enter().then((leave) => (entered.push(3), leave));
    const fourth = limiter.enter().then((leave) => (entered.push(4), leave));
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
    const leave = await limiter.enter();
    leave();
    leave();
    await limiter.enter();
    await expect(limiter.enter()).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
  });

  it('sends away who waited too long, and forgets them', async () => {
    const limiter = new Limiter(1, 1);
    const leave = await limiter.enter();
    await expect(limiter.enter()).rejects.toMatchObject({ code: 'ROOM_KEYS_BUSY' });
    leave();
    await expect(limiter.enter()).resolves.toBeInstanceOf(Function);
  });
});
