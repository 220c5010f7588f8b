/**
 * Proves that pages hold every key once and in order, that their size follows the size of the keys,
 * and that what they are read from is given back exactly once, however the reading ends.
 */
import fc from 'fast-check';
import type { RoomKey } from '../room-key.js';
import type { KeyPosition } from './database/dialect.js';
import { ByteRows } from './database/raw-rows.js';
import { KeyPage, KeyPages, type PageSource } from './key-pages.js';

interface Row {
  position: KeyPosition;
  key: RoomKey;
}

/** The rows of a key set with so many keys per room. */
function rowsOf(...roomSizes: number[]): Row[] {
  return roomSizes.flatMap((size, room) =>
    Array.from({ length: size }, (_, session) => ({
      // numbers with gaps, as deleted rows leave them
      position: { roomNo: 3 * room, seq: 7 * session },
      key: {
        roomId: `!r${room}`,
        sessionId: `s${session}`,
        isVerified: true,
        firstMessageIndex: session,
        forwardedCount: 0,
        sessionData: '{}',
      },
    })),
  );
}

const keysOf = (rows: Row[]) => rows.map(({ key }) => key);

const isAfter = (one: KeyPosition, other: KeyPosition) =>
  one.roomNo > other.roomNo || (one.roomNo === other.roomNo && one.seq > other.seq);

function pageOf(rows: Row[]): KeyPage {
  const raw = new ByteRows({ integers: 5, others: 2 });
  for (const { position, key } of rows) {
    for (const number of [
      position.roomNo,
      position.seq,
      key.firstMessageIndex,
      key.forwardedCount,
      key.isVerified ? 1 : 0,
    ]) {
      raw.addInteger(number);
    }
    raw.addBytes(Buffer.from(key.sessionId));
    raw.addBytes(key.sessionData);
  }
  return new KeyPage(raw, (roomNo) => `!r${roomNo / 3}`);
}

/** A source of rows in memory, which counts what is asked of it. */
class FakeSource implements PageSource {
  readonly limits: number[] = [];
  closes = 0;
  keyCount: number;
  readsElsewhere = false;
  /** The page, from 1 on, that cannot be read. */
  failingPage = Infinity;
  closing: () => Promise<void> = () => Promise.resolve();

  constructor(
    private readonly rows: Row[],
    /** 1 MiB divided by the keys that a page is to hold */
    readonly largestKey: number,
  ) {
    this.keyCount = rows.length;
  }

  // properties, as the repository's source has them: it is copied
  page = (after: KeyPosition, limit: number): Promise<KeyPage> => {
    if (this.closes > 0) return Promise.reject(new Error('read after it was closed'));
    this.limits.push(limit);
    if (this.limits.length === this.failingPage) return Promise.reject(new Error('broken'));
    const rest = this.rows.filter(({ position }) => isAfter(position, after));
    return Promise.resolve(pageOf(rest.slice(0, limit)));
  };

  close = (): Promise<void> => {
    this.closes++;
    return this.closing();
  };
}

const MIB = 1024 * 1024;
/** A size of the largest key with which a page holds so many keys. */
const keysPerPage = (count: number) => Math.floor(MIB / count);

async function readAll(pages: KeyPages): Promise<RoomKey[][]> {
  const all: RoomKey[][] = [];
  for (let page = await pages.next(); page; page = await pages.next()) all.push(page);
  return all;
}

describe('pages of keys', () => {
  it('hold every key once, in order, and none is empty', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(6), { maxLength: 5 }),
        fc.integer({ min: 1, max: 7 }),
        async (roomSizes, size) => {
          const rows = rowsOf(...roomSizes);
          const source = new FakeSource(rows, keysPerPage(size));
          const all = await readAll(new KeyPages(source));
          expect(all.flat()).toEqual(keysOf(rows));
          expect(all.every((page) => page.length > 0 && page.length <= size)).toBe(true);
          expect(source.closes).toBe(1);
        },
      ),
    );
  });

  it('follow each other in the middle of a room as between two', async () => {
    const pages = new KeyPages(new FakeSource(rowsOf(3, 2, 1), keysPerPage(2)));
    const names = (await readAll(pages)).map((page) =>
      page.map(({ roomId, sessionId }) => roomId + sessionId),
    );
    expect(names).toEqual([
      ['!r0s0', '!r0s1'],
      ['!r0s2', '!r1s0'],
      ['!r1s1', '!r2s0'],
    ]);
  });

  it.each([
    ['300', 'keys of a few bytes', 100],
    ['300', 'no size at all', 0],
    ['300', 'keys of the largest size for so many', Math.floor(MIB / 300)],
    ['299', 'keys a little larger', Math.floor(MIB / 300) + 1],
    ['10', 'keys of a tenth of a mebibyte', MIB / 10],
    ['2', 'keys of half a mebibyte', MIB / 2],
    ['1', 'keys of more than half a mebibyte', MIB / 2 + 1],
    ['1', 'keys of a mebibyte', MIB],
    ['1', 'keys of 16 mebibytes', 16 * MIB],
  ])('have %s keys at most, given %s', async (most, _, largestKey) => {
    const source = new FakeSource(rowsOf(1), largestKey);
    await readAll(new KeyPages(source));
    expect(source.limits[0]).toBe(Number(most));
  });

  it('end without another query where the last page is not full', async () => {
    const source = new FakeSource(rowsOf(5), keysPerPage(3));
    expect((await readAll(new KeyPages(source))).map((page) => page.length)).toEqual([3, 2]);
    expect(source.limits).toEqual([3, 3]);
  });

  it('end with undefined, again and again', async () => {
    const pages = new KeyPages(new FakeSource(rowsOf(6), keysPerPage(3)));
    await readAll(pages);
    expect([await pages.next(), await pages.next()]).toEqual([undefined, undefined]);
  });

  describe('that are read elsewhere', () => {
    const elsewhere = (rows: Row[], size: number) => {
      const source = new FakeSource(rows, keysPerPage(size));
      source.readsElsewhere = true;
      return source;
    };

    it('are the same pages, closed as often', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(6), { maxLength: 5 }),
          fc.integer({ min: 1, max: 7 }),
          fc.nat(3),
          async (roomSizes, size, first) => {
            const rows = rowsOf(...roomSizes);
            const direct = await readAll(new KeyPages(new FakeSource(rows, keysPerPage(size))));
            const source = elsewhere(rows, size);
            const pages = new KeyPages(source);
            const all: RoomKey[][] = [];
            for (let n = 0; n < first; n++) all.push((await pages.next()) ?? []);
            all.push(...(await readAll(await pages.buffered())));
            expect(all.flat()).toEqual(direct.flat());
            await pages.close();
            expect(source.closes).toBe(1);
          },
        ),
      );
    });

    it('are read one ahead, and not two', async () => {
      const source = elsewhere(rowsOf(20), 3);
      const pages = new KeyPages(source);
      await pages.next();
      expect(source.limits).toHaveLength(2);
      await new Promise(setImmediate);
      expect(source.limits).toHaveLength(2);
      await pages.next();
      expect(source.limits).toHaveLength(3);
      await pages.close();
    });

    it('fail when the page that could not be read is requested', async () => {
      const source = elsewhere(rowsOf(9), 3);
      source.failingPage = 2;
      const pages = new KeyPages(source);
      expect(await pages.next()).toHaveLength(3);
      await new Promise(setImmediate);
      await expect(pages.next()).rejects.toThrow('broken');
      await pages.close();
      expect(source.closes).toBe(1);
    });

    it('are closed when the one that is being read is there', async () => {
      const source = elsewhere(rowsOf(9), 3);
      const pages = new KeyPages(source);
      const { page } = source;
      let arrive: () => void = () => undefined;
      await pages.next();
      source.page = async (after, limit) => {
        await new Promise<void>((resolve) => (arrive = resolve));
        return page(after, limit);
      };
      await pages.next();
      const closed = pages.close();
      await new Promise(setImmediate);
      expect(source.closes).toBe(0);
      arrive();
      await closed;
      expect(source.closes).toBe(1);
    });
  });

  it('of an empty backup are none, and ask nothing of the database', async () => {
    const source = new FakeSource([], 0);
    expect(await new KeyPages(source).next()).toBeUndefined();
    expect(source.limits).toEqual([]);
    expect(source.closes).toBe(1);
  });

  it('are none where the count was too high', async () => {
    const source = new FakeSource([], 100);
    source.keyCount = 5;
    expect(await new KeyPages(source).next()).toBeUndefined();
    expect(source.closes).toBe(1);
  });
});

describe('what pages are read from', () => {
  it('is released with the last page, before another is requested', async () => {
    const source = new FakeSource(rowsOf(4), keysPerPage(3));
    const pages = new KeyPages(source);
    await pages.next();
    expect(source.closes).toBe(0);
    expect(await pages.next()).toHaveLength(1);
    expect(source.closes).toBe(1);
  });

  it('is given back once, also where everybody closes it', async () => {
    const source = new FakeSource(rowsOf(2), keysPerPage(3));
    const pages = new KeyPages(source);
    await readAll(pages);
    await Promise.all([pages.close(), pages.close()]);
    await pages.close();
    expect(source.closes).toBe(1);
  });

  it('is given back for each who closes it at the moment that it really is', async () => {
    const source = new FakeSource(rowsOf(2), keysPerPage(3));
    let release: () => void = () => undefined;
    source.closing = () => new Promise((resolve) => (release = resolve));
    const pages = new KeyPages(source);
    const ended: string[] = [];
    const closes = [pages.close(), pages.close()].map((close) =>
      close.then(() => ended.push('closed')),
    );
    await Promise.resolve();
    expect(ended).toEqual([]);
    release();
    await Promise.all(closes);
    expect(ended).toEqual(['closed', 'closed']);
  });

  it('is released in the middle, and no further page follows', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    const pages = new KeyPages(source);
    await pages.next();
    await pages.close();
    expect(source.closes).toBe(1);
    expect(await pages.next()).toBeUndefined();
    expect(source.limits).toHaveLength(1);
    expect(source.closes).toBe(1);
  });

  it('is given back before the first page', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    const pages = new KeyPages(source);
    await pages.close();
    expect(await pages.next()).toBeUndefined();
    expect(source).toMatchObject({ closes: 1, limits: [] });
  });

  it('is released by the reader when a page fails, and once', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    source.failingPage = 2;
    const pages = new KeyPages(source);
    await pages.next();
    await expect(pages.next()).rejects.toThrow('broken');
    await pages.close();
    await pages.close();
    expect(source.closes).toBe(1);
    expect(await pages.next()).toBeUndefined();
  });

  it('says so when it cannot be given back, and is not asked again', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    source.closing = () => Promise.reject(new Error('gone'));
    const pages = new KeyPages(source);
    await expect(pages.close()).rejects.toThrow('gone');
    await expect(pages.close()).rejects.toThrow('gone');
    expect(source.closes).toBe(1);
  });
});

describe('buffered pages', () => {
  it('are the same pages, after what they were read from is given back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(6), { maxLength: 5 }),
        fc.integer({ min: 1, max: 7 }),
        async (roomSizes, size) => {
          const rows = rowsOf(...roomSizes);
          const direct = await readAll(new KeyPages(new FakeSource(rows, keysPerPage(size))));
          const source = new FakeSource(rows, keysPerPage(size));
          const buffered = await new KeyPages(source).buffered();
          expect(source.closes).toBe(1);
          expect(await readAll(buffered)).toEqual(direct);
          await buffered.close();
          expect(source.closes).toBe(1);
        },
      ),
    );
  });

  it('begin where the reading had come to', async () => {
    const rows = rowsOf(4, 4);
    const source = new FakeSource(rows, keysPerPage(3));
    const pages = new KeyPages(source);
    await pages.next();
    const buffered = await pages.buffered();
    expect((await readAll(buffered)).flat()).toEqual(keysOf(rows.slice(3)));
  });

  it('are none after the last page', async () => {
    const source = new FakeSource(rowsOf(2), keysPerPage(3));
    const pages = new KeyPages(source);
    await readAll(pages);
    expect(await readAll(await pages.buffered())).toEqual([]);
    expect(source).toMatchObject({ closes: 1, limits: [3] });
  });

  it('of an empty backup are none, and ask nothing of the database', async () => {
    const source = new FakeSource([], 0);
    expect(await readAll(await new KeyPages(source).buffered())).toEqual([]);
    expect(source).toMatchObject({ closes: 1, limits: [] });
  });

  it('leave nothing to those that they were read through', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    const pages = new KeyPages(source);
    await pages.buffered();
    expect(await pages.next()).toBeUndefined();
    expect(source.closes).toBe(1);
  });

  it('can be closed in the middle', async () => {
    const buffered = await new KeyPages(new FakeSource(rowsOf(9), keysPerPage(3))).buffered();
    await buffered.next();
    await buffered.close();
    expect(await buffered.next()).toBeUndefined();
  });

  it('give back what they are read from when a page fails', async () => {
    const source = new FakeSource(rowsOf(9), keysPerPage(3));
    source.failingPage = 2;
    await expect(new KeyPages(source).buffered()).rejects.toThrow('broken');
    expect(source.closes).toBe(1);
  });
});

describe('pages of keys in a loop', () => {
  const rows = rowsOf(5, 7);

  it('are every key, and closed at the end', async () => {
    const source = new FakeSource(rows, 1024 * 1024);
    const keys: RoomKey[] = [];
    for await (const key of new KeyPages(source)) keys.push(key);
    expect(keys).toEqual(keysOf(rows));
    expect(source.closes).toBe(1);
  });

  it('are closed when the loop is left', async () => {
    const source = new FakeSource(rows, 1024 * 1024);
    for await (const key of new KeyPages(source)) if (key.roomId === '!r0') break;
    expect(source.closes).toBe(1);
  });

  it('are closed at the end of the block that uses them', async () => {
    const source = new FakeSource(rows, 1024 * 1024);
    await new KeyPages(source)[Symbol.asyncDispose]();
    expect(source.closes).toBe(1);
  });
});

describe('pages of keys whose reading pauses', () => {
  it('are closed after a while, and say so to who comes back', async () => {
    const source = new FakeSource(rowsOf(5), 1024 * 1024);
    const pages = new KeyPages(source, 20);
    await pages.next();
    while (source.closes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(pages.next()).rejects.toThrow('paused for too long');
    await pages.close();
    expect(source.closes).toBe(1);
  });
});
