import { setTimeout as sleep } from 'node:timers/promises';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const UPLOADERS = 4;
/** Answers 200 that each uploader has between two events. */
const UPLOADS_BETWEEN = 25;

/** Devices that store one key after the other, each again and again until it is stored, while something happens. */
export class Uploads {
  /** Session ids. */
  readonly acknowledged = new Set<string>();
  readonly statuses = new Map<number, number>();
  private lastSuccess = performance.now();
  private pause = 0;
  private lost = 0;
  private isOver = false;
  private readonly running: Promise<unknown>;

  /** @param clients of one user; they take turns */
  constructor(
    private readonly clients: readonly MatrixClient[],
    private readonly version: string,
  ) {
    this.running = Promise.all(Array.from({ length: UPLOADERS }, (_, n) => this.uploader(n)));
    // one that fails ends all of it
    this.running.catch(() => {
      this.isOver = true;
    });
  }

  /** Resolves when so many more are stored that all are at work. */
  async goOn(): Promise<void> {
    const goal = this.acknowledged.size + UPLOADERS * UPLOADS_BETWEEN;
    while (this.acknowledged.size < goal && !this.isOver) await sleep(20);
  }

  /** Seconds for which nothing was stored at most, since this was last asked. */
  longestPause(): number {
    const present = this.isOver ? 0 : performance.now() - this.lastSuccess;
    const pause = Math.max(this.pause, present);
    this.pause = 0;
    return pause / 1000;
  }

  /** Ends it; throws what one of them threw. */
  async end(): Promise<void> {
    this.isOver = true;
    await this.running;
  }

  /** Proves that what was acknowledged is stored, nothing else is, and no answer was another than 200 or 503. */
  async prove(): Promise<void> {
    expect(await this.countLost()).toBe(0);
  }

  /** As {@link prove}, but for keys that were acknowledged and are not there. @returns how many */
  async countLost(): Promise<number> {
    const { body, status } = await this.clients[1]!.get(`/keys?version=${this.version}`);
    expect(status).toBe(200);
    const stored = Object.values(
      (body as { rooms: Record<string, { sessions: object }> }).rooms,
    ).flatMap(({ sessions }) => Object.keys(sessions));
    expect(stored.filter((id) => !this.acknowledged.has(id))).toEqual([]);
    expect(new Set(stored).size).toBe(stored.length);
    expect([...this.statuses.keys()].filter((one) => one !== 200 && one !== 503)).toEqual([]);
    this.lost = this.acknowledged.size - stored.length;
    return this.lost;
  }

  get figures(): string {
    const answers = [...this.statuses].map(([one, count]) => `${one} ${count} times`).join(', ');
    return `${this.acknowledged.size} keys acknowledged, lost: ${this.lost}, answers ${answers}`;
  }

  private async uploader(name: number): Promise<void> {
    for (let n = 0; !this.isOver; n += 1) {
      const id = `session-${name}-${n}`;
      const body = roomsBody([[`!room${name}:hs1`, id, keyData()]]);
      for (;;) {
        const client = this.clients[(name + n) % this.clients.length]!;
        const { status, headers } = await client.put(`/keys?version=${this.version}`, body);
        this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
        if (status === 200) break;
        if (status === 503) expect(headers.get('retry-after')).toMatch(/^\d+$/);
        // a client waits for Retry-After; this one does not
        await sleep(50);
      }
      const now = performance.now();
      this.pause = Math.max(this.pause, now - this.lastSuccess);
      this.lastSuccess = now;
      this.acknowledged.add(id);
    }
  }
}
