import { setTimeout as sleep } from 'node:timers/promises';
import type { Homeserver, HomeserverBackup } from '../homeserver.js';
import type { HttpClient } from '../http-client.js';
import { KeySource } from '../keys.js';
import { pathOf, wireKey } from '../wire.js';
import { type Attempt, attempt, BACK_OFF_MS, countStatus, type Statuses } from './samples.js';

/** Longer than a lock is waited for anywhere. */
const TIMEOUT_MS = 60_000;

/**
 * A user who keeps uploads of a single new key open, one on each connection: the next one is sent as soon
 * as the last one is answered. After a 429 a connection waits for `retry_after_ms`, as real clients do.
 */
export class BusyUploads {
  private readonly statuses: Statuses = {};
  private readonly source = new KeySource('busy uploads');
  private readonly over = new AbortController();
  private readonly loops: Promise<void>[];
  private readonly client: HttpClient;
  private sent = 0;

  /**
   * @param backup current one of the user
   * @param most how many uploads are sent
   */
  constructor(
    homeserver: Homeserver,
    user: number,
    private readonly backup: HomeserverBackup,
    connections: number,
    private readonly most = Infinity,
  ) {
    this.client = homeserver.connect(user, { connections, timeoutMs: TIMEOUT_MS });
    this.loops = Array.from({ length: connections }, () => this.loop());
  }

  /** Whether uploads are being sent. */
  get isRunning(): boolean {
    return this.sent < this.most && !this.over.signal.aborted;
  }

  /** Sends no further uploads. Resolves when the last ones are answered. */
  async stop(): Promise<Statuses> {
    this.over.abort();
    await Promise.all(this.loops);
    this.client.close();
    return this.statuses;
  }

  private async loop(): Promise<void> {
    const { signal } = this.over;
    while (this.isRunning) {
      const key = this.source.key(this.sent++);
      const answer = await attempt(
        this.client,
        'PUT',
        `/keys/${pathOf(key)}?version=${this.backup.version}`,
        Buffer.from(JSON.stringify(wireKey(key))),
      );
      countStatus(this.statuses, answer);
      const waitMs = answer.status === '200' ? 0 : pauseAfter(answer);
      // stopping ends the pause
      if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

function pauseAfter({ status, body }: Attempt): number {
  if (status !== '429') return BACK_OFF_MS;
  const { retry_after_ms: waitMs } = JSON.parse(Buffer.concat(body).toString('utf8')) as {
    retry_after_ms?: number;
  };
  return waitMs ?? BACK_OFF_MS;
}
