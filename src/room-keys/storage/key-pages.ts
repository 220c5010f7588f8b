import type { RoomKey, StoredKeys } from '../room-key.js';
import type { KeyPosition } from './database/dialect.js';
import type { RawRows } from './database/raw-rows.js';
import { rowsPerPage, START } from './key-set-pages.js';

/** Memory that one page of a restore may take, where keys are large. */
const BYTES_PER_PAGE = 1024 * 1024;
/**
 * 250 kB of real keys. What V8 finds alive twice it takes for old, and leaves for long: after 100 idle
 * seconds its youngest generation is as small as it can be, and pages of 500 kB outlived that (170 MB in a
 * restore of 259 MB). Pages of 1 MB are read up to a fifth faster.
 */
const ROWS_PER_PAGE = 300;

/** Time for which unread pages stay open; a client that reads nothing of a response is disconnected earlier. */
const FORGOTTEN_MS = 120_000;

/** The part of a page that is needed here. */
type Page = Pick<KeyPage, 'last' | 'keys' | keyof StoredKeys>;

/** What pages are read from: one moment's state of one key set. */
export interface PageSource {
  /** How many keys there are, or more. */
  keyCount: number;
  /** How many bytes the largest `session_data` has, or fewer. */
  largestKey: number;
  /** Whether reads run in another process, a database server, while this one does other things. */
  readsElsewhere: boolean;
  page(after: KeyPosition, limit: number): Promise<Page>;
  close(): Promise<void>;
}

/**
 * The keys of a backup, those of a room together, a page at a time or one after the other: see
 * `RoomKeysService.keys`. It may hold a connection of the host's pool until it is closed, which it is after the last
 * key, at the end of a `for await` or of the block of an `await using`, and two minutes after the last call of `next`.
 */
export class KeyPages implements AsyncIterable<RoomKey>, AsyncDisposable {
  private readonly rowsPerPage: number;
  private after: KeyPosition = START;
  /** The page after the one that was handed out last. */
  private prefetched: Promise<Page> | undefined;
  private ended: boolean;
  private closed: Promise<void> | undefined;
  private isForgotten = false;
  private readonly forgotten: NodeJS.Timeout;

  /** @param forgottenMs milliseconds after the last call of `next` after which it is closed */
  constructor(
    private readonly source: PageSource,
    forgottenMs = FORGOTTEN_MS,
  ) {
    this.forgotten = setTimeout(() => {
      this.isForgotten = true;
      // a later call of next reports it
      this.close().catch(() => undefined);
    }, forgottenMs).unref();
    this.rowsPerPage = rowsPerPage(ROWS_PER_PAGE, BYTES_PER_PAGE, source.largestKey);
    this.ended = source.keyCount === 0;
  }

  /**
   * Reads the next page, and closes the source with the last. The one after it is read meanwhile, and
   * no more than that one.
   *
   * @returns undefined when there are no more keys
   * @throws if it was closed because it was not read any further
   */
  async next(): Promise<RoomKey[] | undefined> {
    return (await this.nextPage())?.keys();
  }

  /** As {@link next}, without an object for each key. @internal */
  async nextPage(): Promise<Page | undefined> {
    if (this.isForgotten) throw new Error('Reading the keys paused for too long. Read them again.');
    if (!this.closed) this.forgotten.refresh();
    if (this.ended) {
      await this.close();
      return undefined;
    }
    const page = await this.read();
    if (page.length < this.rowsPerPage) await this.close();
    return page.length > 0 ? page : undefined;
  }

  /** Reads all there is now, and gives back what it was read from. */
  async buffered(): Promise<KeyPages> {
    const pages: Page[] = [];
    const source = { ...this.source, close: () => Promise.resolve() };
    try {
      for (let page; !this.ended; pages.push(page)) {
        page = await this.read();
      }
    } finally {
      await this.close();
    }
    if (pages.length === 0) source.keyCount = 0;
    const page = () => {
      const next = pages.shift();
      return next ? Promise.resolve(next) : Promise.reject(new Error('There is no further page.'));
    };
    return new KeyPages({ ...source, page });
  }

  /** Gives back what the pages were read from; safe to call again, and in the middle. */
  close(): Promise<void> {
    clearTimeout(this.forgotten);
    this.ended = true;
    this.closed ??= this.closeAfter(this.prefetched);
    return this.closed;
  }

  /** Key after key; closed at the end, also when the loop is left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<RoomKey, void, undefined> {
    try {
      for (let page = await this.next(); page; page = await this.next()) yield* page;
    } finally {
      await this.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async closeAfter(reading: Promise<Page> | undefined): Promise<void> {
    await reading?.catch(() => undefined);
    await this.source.close();
  }

  private async read(): Promise<Page> {
    const reading = this.prefetched ?? this.source.page(this.after, this.rowsPerPage);
    this.prefetched = undefined;
    const page = await reading;
    this.after = page.last ?? this.after;
    this.ended ||= page.length < this.rowsPerPage;
    if (!this.ended && this.source.readsElsewhere) {
      this.prefetched = this.source.page(this.after, this.rowsPerPage);
      // an error is reported when the page is read, which may never happen
      this.prefetched.catch(() => undefined);
    }
    return page;
  }
}

/** The keys of a page: rows of room_no, seq, first_message_index, forwarded_count, is_verified, session_id, session_data. */
export class KeyPage implements StoredKeys {
  private readonly roomIds: readonly string[];

  /** @param roomIdOf the id of a room by its number; it may throw */
  constructor(
    private readonly rows: RawRows,
    roomIdOf: (roomNo: number) => string,
  ) {
    this.roomIds = Array.from({ length: rows.length }, (_, n) => roomIdOf(rows.integer(n, 0)));
  }

  get length(): number {
    return this.roomIds.length;
  }

  /** Where the last key stands; undefined without any. */
  get last(): KeyPosition | undefined {
    const { rows, length } = this;
    if (length === 0) return undefined;
    return { roomNo: rows.integer(length - 1, 0), seq: rows.integer(length - 1, 1) };
  }

  idAndRank(n: number): Omit<RoomKey, 'sessionData'> {
    const { rows } = this;
    return {
      roomId: this.roomIds[n] ?? '',
      sessionId: rows.text(n, 0),
      firstMessageIndex: rows.integer(n, 2),
      forwardedCount: rows.integer(n, 3),
      isVerified: rows.integer(n, 4) === 1,
    };
  }

  dataLength(n: number): number {
    return this.rows.byteLength(n, 1);
  }

  copyData(n: number, target: Buffer, at: number): number {
    return this.rows.copy(n, 1, target, at);
  }

  /** As objects. */
  keys(): RoomKey[] {
    return this.roomIds.map((_, n) => ({
      ...this.idAndRank(n),
      sessionData: this.rows.text(n, 1),
    }));
  }
}
