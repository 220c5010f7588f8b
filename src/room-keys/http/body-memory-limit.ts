import { bodiesAtOnce } from '../room-keys.errors.js';
import type { RoomKeysOptions } from '../room-keys-options.interface.js';

export const DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024;
const SHARE = 1 / 4;
const SHARE_WHEN_BUSY = 1 / 64;
/** Number of bodies of the maximum size that fit in memory at once by default. */
const LARGEST_BODIES_AT_ONCE = 4;

/** The bytes that one request has reserved. */
export interface Reservation {
  /**
   * Raises the reservation to this many bytes in total.
   *
   * @throws 503 if the limit does not allow it; the previous reservation stays
   */
  reserve(bytes: number): void;
  /** Releases everything; nothing can be reserved afterwards. */
  release(): void;
}

/**
 * Memory limit for the request bodies of all users. Until its request is finished, a body is in memory
 * about six times: in pieces and in one piece, as text, as keys, and as parameters of the database
 * driver; while it is being read, only once. So four bodies of 16 MiB, the default, take 400 MB at
 * worst, and so do 780 batches of real clients.
 *
 * One user gets at most a quarter of it, and once half of it is taken, at most a 64th: 1 MiB of the
 * default, which is twelve batches of 100 keys. So large bodies take no more than half of it, and
 * thirty users who take all they can get leave room for the batches of others.
 */
export class BodyMemoryLimit {
  private readonly total: number;
  private readonly share: number;
  private held = 0;
  private readonly heldBy = new Map<string, number>();

  constructor({
    maxBodyBytes = DEFAULT_MAX_BODY_BYTES,
    maxBodyBytesAtOnce = LARGEST_BODIES_AT_ONCE * maxBodyBytes,
  }: Pick<RoomKeysOptions, 'maxBodyBytes' | 'maxBodyBytesAtOnce'>) {
    this.total = maxBodyBytesAtOnce;
    // a body of the maximum size can always be sent when there is little else
    this.share = Math.max(maxBodyBytes, this.total * SHARE);
  }

  /** Number of bytes currently reserved. */
  get used(): number {
    return this.held;
  }

  /** Opens an empty reservation for a request of a user. */
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
