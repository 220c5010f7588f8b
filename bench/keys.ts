import { createHash, randomBytes } from 'node:crypto';

/** A key as a client sends it, with its ids. */
export interface Key {
  roomId: string;
  sessionId: string;
  firstMessageIndex: number;
  sessionData: { ephemeral: string; ciphertext: string; mac: string };
}

/** Sessions that a client puts into one upload. */
export const BATCH = 100;
/** Rooms that the keys of a backup are about. */
const ROOMS = 200;
/** Real batches are about one to six rooms. */
const MOST_ROOMS_A_BATCH = 6;

const CIPHERTEXT = 640;
const EPHEMERAL = 43;
const MAC = 11;

/** What ciphertexts are cut from: making new randomness for each would take the server's time. */
const noise = randomBytes(3 * 256 * 1024).toString('base64');
const cut = (at: number, length: number) => {
  const start = at % (noise.length - length);
  return noise.slice(start, start + length);
};

/**
 * The keys of one backup, each made from its number alone: whatever a server answers can be held
 * against what it was sent, without a copy of a million keys.
 */
export class KeySource {
  private readonly rooms: string[];

  /**
   * @param name tells one backup's keys from another's
   * @param rooms how many rooms the keys are about
   */
  constructor(
    private readonly name: string,
    rooms = ROOMS,
  ) {
    // half with the server's name, half as rooms of version 12 are called
    this.rooms = Array.from({ length: rooms }, (_, n) =>
      n % 2 === 0
        ? `!${this.hash(`room ${n}`, 18, 'base64url')}:hs1`
        : `!${this.hash(`room ${n}`, 43, 'base64url')}`,
    );
  }

  /**
   * @param n number of the key in its backup
   * @param better whether it is to replace the one that was stored under this number
   */
  key(n: number, better = false): Key {
    const at = n * 7919 + (better ? 104_729 : 0);
    return {
      roomId: this.roomOf(n),
      sessionId: this.hash(`session ${n}`, 43, 'base64'),
      firstMessageIndex: better ? 0 : 1 + (n % 8),
      sessionData: {
        ephemeral: cut(at + 31, EPHEMERAL),
        ciphertext: cut(at, CIPHERTEXT),
        mac: cut(at + 17, MAC),
      },
    };
  }

  /** The keys with the numbers from `from` on, as many as a client sends at once. */
  batch(from: number, better = false, size = BATCH): Key[] {
    return Array.from({ length: size }, (_, n) => this.key(from + n, better));
  }

  /** The numbers below `count` of the keys of the room that the first key is in. */
  numbersOfFirstRoom(count: number): number[] {
    const first = this.roomOf(0);
    return Array.from({ length: count }, (_, n) => n).filter((n) => this.roomOf(n) === first);
  }

  private roomOf(n: number): string {
    const batch = Math.floor(n / BATCH);
    const roomsInBatch = 1 + (scattered(batch) % MOST_ROOMS_A_BATCH);
    const which = Math.floor(((n % BATCH) * roomsInBatch) / BATCH);
    return this.rooms[scattered(batch * MOST_ROOMS_A_BATCH + which + 1) % this.rooms.length] ?? '';
  }

  private hash(what: string, length: number, form: 'base64' | 'base64url'): string {
    return createHash('sha256').update(`${this.name} ${what}`).digest(form).slice(0, length);
  }
}

/** The same number each time, without a pattern that a server could profit from. */
function scattered(n: number): number {
  let x = Math.imul(n + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return (x ^ (x >>> 13)) >>> 0;
}
