import { setTimeout as sleep } from 'node:timers/promises';
import type { Homeserver, HomeserverBackup } from '../homeserver.js';
import type { HttpClient } from '../http-client.js';
import { KeySource } from '../keys.js';
import type { Run } from '../run.js';
import { filledBackup } from './fill.js';
import { Others, USERS } from './others.js';
import {
  attempt,
  BACK_OFF_MS,
  countStatus,
  type Effect,
  Samples,
  type Statuses,
} from './samples.js';

/** Of each of the two users. */
const CONNECTIONS_EACH = 6;
const BYTES_PER_SECOND = 64 * 1024;
const SETTLE_MS = 2000;
export const THIRD_USER_RESTORES = 8;

/** A third user's restores while two users read theirs slowly. */
export interface SlowRestoresResults {
  /** Slow restores at the same time, of both users together. */
  connections: number;
  /** Keys in the backup of each of the two. */
  keys: number;
  /** Slow restores that were refused, broken off or complete before the third user was done. */
  ended: Statuses;
  restore: Effect;
}

export async function besideSlowRestores(
  run: Run,
  homeserver: Homeserver,
  keys: number,
): Promise<SlowRestoresResults> {
  const backups: HomeserverBackup[] = [];
  for (const user of [USERS.busy, USERS.secondBusy]) {
    const source = new KeySource(`slow restore ${user}`);
    backups.push(await filledBackup(homeserver, user, source, keys, run.progress));
  }
  const third = await Others.create(homeserver);
  const tick = run.progress.phase(
    `${homeserver.name}: beside ${CONNECTIONS_EACH * backups.length} slow restores`,
    3 * THIRD_USER_RESTORES,
  );
  const alone = new Samples();
  const busy = new Samples();
  const measure = async (samples: Samples) => {
    for (let n = 0; n < THIRD_USER_RESTORES; n++) {
      samples.add(await third.restore());
      tick();
    }
  };
  await measure(alone);
  const slow = new SlowReaders(homeserver, backups);
  await sleep(SETTLE_MS);
  await measure(busy);
  const ended = slow.stop();
  await sleep(SETTLE_MS);
  await measure(alone);
  await third.delete();
  for (const backup of backups) await backup.delete();
  return {
    connections: CONNECTIONS_EACH * backups.length,
    keys,
    ended,
    restore: { alone: alone.observed, busy: busy.observed },
  };
}

/** Users who read their backups slowly on several connections each. */
class SlowReaders {
  private readonly ended: Statuses = {};
  private readonly clients: HttpClient[] = [];
  private readonly over = new AbortController();

  /** @param backups of the users 0, 1, … */
  constructor(homeserver: Homeserver, backups: readonly HomeserverBackup[]) {
    backups.forEach(({ version }, user) => {
      const client = homeserver.connect(user, { connections: CONNECTIONS_EACH });
      this.clients.push(client);
      for (let n = 0; n < CONNECTIONS_EACH; n++) void this.read(client, version);
    });
  }

  /** Closes all connections. @returns the restores that had ended before */
  stop(): Statuses {
    const ended = { ...this.ended };
    this.over.abort();
    for (const client of this.clients) client.close();
    return ended;
  }

  /** Whatever the answer is, the client comes back, as real ones do. */
  private async read(client: HttpClient, version: string): Promise<void> {
    const { signal } = this.over;
    const slowly = { piece: () => undefined, bytesPerSecond: BYTES_PER_SECOND };
    while (!signal.aborted) {
      const path = `/keys?version=${version}`;
      countStatus(this.ended, await attempt(client, 'GET', path, undefined, slowly));
      await sleep(BACK_OFF_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
