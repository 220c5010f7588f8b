import { bodiesAtOnce } from '../room-keys.errors.js';

export const DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024;
const SHARE = 1 / 4;
const SHARE_WHEN_BUSY = 1 / 64;
/** How many bodies of the largest size may be in memory at once, unless the host says otherwise. */
const LARGEST_BODIES_AT_ONCE = 4;

/** The bytes that one request has reserved. */
export interface Reservation {
  /**
   * Reserves so many bytes in all, unless there are as many already.
   *
   * @throws 503 where the limit does not allow it; what was reserved stays reserved
   */
  reserve(bytes: number): void;
  /** Gives all of it back; nothing can be reserved after it. */
  release(): void;
}

/**
 * The bytes of request bodies that may be in memory at once, whoever sends them. A body is in memory
 * about six times over until its request is over: in pieces and in one piece, as text, as keys, and
 * as what the driver of the database makes of them; half-read, it is there once. So four bodies of
 * 16 MiB, the default, take 400 MB at worst, and 780 batches of real clients as much.
 *
 * One user has at most a quarter of it, and once a half is taken, at most a 64th: of the default
 * 1 MiB, which is twelve batches of 100 keys. So large bodies take no more than a half, and thirty
 * users who take all they can get leave room for the batches of others.
 */
export class BodyMemoryLimit {
  private readonly total: number;
  private readonly share: number;
  private held = 0;
  private readonly heldBy = new Map<string, number>();

  constructor({
    maxBodyBytes = DEFAULT_MAX_BODY_BYTES,
    maxBodyBytesAtOnce = LARGEST_BODIES_AT_ONCE * maxBodyBytes,
  }: {
    maxBodyBytes?: number | undefined;
    maxBodyBytesAtOnce?: number | undefined;
  }) {
    this.total = maxBodyBytesAtOnce;
    // one body of the largest size can always be sent, when there is little else
    this.share = Math.max(maxBodyBytes, this.total * SHARE);
  }

  /** How many bytes are reserved at the moment. */
  get used(): number {
    return this.held;
  }

  /** Begins a request of a user; nothing is reserved yet. */
  open(userId: string): Reservation {
    let own = 0;
    let released = false;
    return {
      reserve: (bytes) => {
        if (released || bytes <= own) return;
        this.take(userId, bytes - own);
        own = bytes;
      },
      release: () => {
        released = true;
        this.add(userId, -own);
        own = 0;
      },
    };
  }

  private take(userId: string, bytes: number): void {
    const all = this.held + bytes;
    const ofUser = (this.heldBy.get(userId) ?? 0) + bytes;
    const share = all <= this.total / 2 ? this.share : this.total * SHARE_WHEN_BUSY;
    if (all > this.total || ofUser > share) throw bodiesAtOnce();
    this.add(userId, bytes);
  }

  private add(userId: string, bytes: number): void {
    this.held += bytes;
    const ofUser = (this.heldBy.get(userId) ?? 0) + bytes;
    if (ofUser > 0) this.heldBy.set(userId, ofUser);
    else this.heldBy.delete(userId);
  }
}
