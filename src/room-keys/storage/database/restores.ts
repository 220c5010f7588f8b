import type { Reader, Row, Snapshot, SqlValue } from './connection.js';
import type { RawRows, RowShape } from './raw-rows.js';
import type { FairSemaphore } from './places.js';

const LOOK_EVERY_MS = 20;
/** How old a snapshot is at least before it can be asked for. */
const SLOW_AFTER_MS = 100;
/** For how long the client of a slow restore has taken nothing: a page has 250 kB, so about 5 MB a second are fast. */
const IDLE_MS = 50;
/** How old a snapshot gets while others wait, however fast its client is. */
const FAST_MS = 5000;

/**
 * The restores that are under way. Each begins with a consistent snapshot, which keeps a connection for as long
 * as the client takes. When others wait for a place, one whose client is slow gives its snapshot up, and goes
 * on with short reads between those of others; so does one that has had a place for five seconds.
 */
export class Restores {
  private readonly readers = new Set<RestoreReader>();
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param places for snapshots
   * @param underWay for restores, with or without a snapshot: each holds a page in memory
   */
  constructor(
    private readonly places: FairSemaphore,
    private readonly underWay: FairSemaphore,
  ) {
    places.onWait = () => {
      this.timer ??= setInterval(() => {
        this.takePlace();
      }, LOOK_EVERY_MS).unref();
      this.takePlace();
    };
  }

  /** How many are under way. */
  get count(): number {
    return this.readers.size;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.places.waiting;
  }

  /**
   * @param open opens the snapshot
   * @param read reads without one, in the queue of the user's reads
   */
  async begin(
    user: string,
    open: () => Promise<Snapshot>,
    read: <T>(work: (reader: Reader) => Promise<T>) => Promise<T>,
  ): Promise<RestoreReader> {
    const end = await this.underWay.acquire(user);
    let leave: (() => void) | undefined;
    try {
      leave = await this.places.acquire(user);
      const reader = new RestoreReader(user, await open(), read, leave, () => {
        this.readers.delete(reader);
        end();
      });
      this.readers.add(reader);
      return reader;
    } catch (error) {
      leave?.();
      end();
      throw error;
    }
  }

  /** Takes the slot of the oldest snapshot that must give it up, if a restore waits for it. */
  private takePlace(): void {
    if (this.places.waiting === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
      return;
    }
    for (const reader of this.readers) {
      if (reader.mustGiveUp && this.places.isWantedFrom(reader.user)) {
        reader.giveUpSnapshot();
        return;
      }
    }
  }
}

/** Reads for one restore. */
export class RestoreReader implements Reader {
  private readonly openedAt = performance.now();
  private answeredAt = this.openedAt;
  private reading: Promise<unknown> | undefined;
  private snapshot: Snapshot | undefined;
  private leaving: Promise<void> | undefined;
  private isClosed = false;
  private hasBegun = false;

  constructor(
    readonly user: string,
    snapshot: Snapshot,
    private readonly readOutside: <T>(work: (reader: Reader) => Promise<T>) => Promise<T>,
    private readonly leavePlace: () => void,
    private readonly end: () => void,
  ) {
    this.snapshot = snapshot;
  }

  /** Whether all rows so far come from one consistent snapshot. */
  get hasSnapshot(): boolean {
    return this.snapshot !== undefined;
  }

  /** Whether nothing else can use the database before this is closed. */
  get blocksOthers(): boolean {
    return this.snapshot?.blocksOthers ?? false;
  }

  get mustGiveUp(): boolean {
    if (!this.snapshot || this.snapshot.blocksOthers) return false;
    const now = performance.now();
    const age = now - this.openedAt;
    const isSlow = this.hasBegun && !this.reading && now - this.answeredAt > IDLE_MS;
    return age > FAST_MS || (isSlow && age > SLOW_AFTER_MS);
  }

  /** From now on its client decides how long the rest takes. */
  answerBegins(): void {
    this.hasBegun = true;
  }

  rows(sql: string, parameters: readonly SqlValue[]): Promise<Row[]> {
    return this.read((reader) => reader.rows(sql, parameters));
  }

  rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows> {
    return this.read((reader) => reader.rawRows(sql, parameters, shape));
  }

  /** One after the other only. */
  private async read<T>(work: (reader: Reader) => Promise<T>): Promise<T> {
    const reading = this.snapshot ? work(this.snapshot) : this.readOutside(work);
    this.reading = reading;
    try {
      return await reading;
    } finally {
      this.reading = undefined;
      this.answeredAt = performance.now();
    }
  }

  /** Continues without the snapshot, after the current read from it. */
  giveUpSnapshot(): void {
    const { snapshot } = this;
    if (!snapshot) return;
    this.snapshot = undefined;
    this.leaving = Promise.resolve(this.reading)
      .catch(() => undefined)
      .then(() => snapshot.close())
      .catch(() => undefined)
      .finally(this.leavePlace);
  }

  /** Safe to call again. */
  async close(): Promise<void> {
    if (!this.isClosed) {
      this.isClosed = true;
      this.giveUpSnapshot();
      void this.leaving?.finally(this.end);
    }
    await this.leaving;
  }
}
