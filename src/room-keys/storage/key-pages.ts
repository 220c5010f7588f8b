import type { RoomKey } from '../room-key.js';

/** Memory that one page of a restore may take. */
const BYTES_PER_PAGE = 1024 * 1024;
const ROWS_PER_PAGE = 1000;

/** Where a row stands in its key set; a page begins after one. */
export interface KeyPosition {
  roomNo: number;
  seq: number;
}

/** What pages are read from: one moment's state of one key set. */
export interface PageSource {
  /** How many keys there are, or more. */
  keyCount: number;
  /** How many bytes the largest `session_data` has, or fewer. */
  largestKey: number;
  page(after: KeyPosition, limit: number): Promise<{ position: KeyPosition; key: RoomKey }[]>;
  close(): Promise<void>;
}

/**
 * The keys of a backup as of one moment, a page at a time, those of a room together. It may hold a
 * connection of the host's pool until it is closed.
 */
export class KeyPages {
  private readonly rowsPerPage: number;
  private after: KeyPosition = { roomNo: -1, seq: -1 };
  private ended: boolean;
  private closed: Promise<void> | undefined;

  constructor(private readonly source: PageSource) {
    this.rowsPerPage = Math.max(
      1,
      Math.min(ROWS_PER_PAGE, Math.floor(BYTES_PER_PAGE / Math.max(1, source.largestKey))),
    );
    this.ended = source.keyCount === 0;
  }

  /**
   * Reads the next page, and closes the source with the last.
   *
   * @returns undefined when there are no more keys
   */
  async next(): Promise<RoomKey[] | undefined> {
    if (this.ended) {
      await this.close();
      return undefined;
    }
    const page = await this.source.page(this.after, this.rowsPerPage);
    const last = page.at(-1);
    if (last) this.after = last.position;
    if (page.length < this.rowsPerPage) {
      this.ended = true;
      await this.close();
    }
    return last && page.map(({ key }) => key);
  }

  /** Reads all there is now, and gives back what it was read from. */
  async buffered(): Promise<KeyPages> {
    const pages: Awaited<ReturnType<PageSource['page']>>[] = [];
    const source = { ...this.source, close: () => Promise.resolve() };
    try {
      for (let page; !this.ended; pages.push(page)) {
        page = await this.source.page(this.after, this.rowsPerPage);
        this.after = page.at(-1)?.position ?? this.after;
        this.ended = page.length < this.rowsPerPage;
      }
    } finally {
      await this.close();
    }
    return new KeyPages({ ...source, page: () => Promise.resolve(pages.shift() ?? []) });
  }

  /** Gives back what the pages were read from; safe to call again, and in the middle. */
  close(): Promise<void> {
    this.ended = true;
    this.closed ??= this.source.close();
    return this.closed;
  }
}
