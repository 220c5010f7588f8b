import { setTimeout as sleep } from 'node:timers/promises';
import type { Homeserver } from '../homeserver.js';
import type { Run } from '../run.js';
import { BusyUploads } from './busy-uploads.js';
import { effects, Others, type Request, USERS } from './others.js';
import { paced } from './paced.js';
import { attempt, type Effect, Samples, type Statuses } from './samples.js';

const MANY_USERS = 12;
const MANY_USERS_UPLOADS = 2000;
const MANY_USERS_CONNECTIONS = 40;
/** Milliseconds between two requests of each of the many users. */
const PACE_MS = 50;
const ALONE_SECONDS = 3;
/** Between one load and another. */
const SETTLE_MS = 1000;
const TIMEOUT_MS = 30_000;

/** Other users' requests beside one user's uploads of single keys. */
export interface UploadsResults {
  /** Uploads that are open at the same time. */
  connections: number;
  statuses: Statuses;
  effects: Record<Request, Effect>;
}

export async function besideUploads(
  { progress }: Run,
  homeserver: Homeserver,
  connections: number,
  seconds: number,
): Promise<UploadsResults> {
  const tick = progress.phase(`${homeserver.name}: beside ${connections} open uploads`, 3);
  const others = await Others.create(homeserver);
  const backup = await homeserver.createBackup(USERS.busy);
  const alone = Others.samples();
  const busy = Others.samples();
  await others.measure(seconds, alone);
  tick();
  const uploads = new BusyUploads(homeserver, USERS.busy, backup, connections);
  await sleep(SETTLE_MS);
  await others.measure(seconds, busy);
  const statuses = await uploads.stop();
  tick();
  await sleep(SETTLE_MS);
  await others.measure(seconds, alone);
  tick();
  await others.delete();
  await backup.delete();
  return { connections, statuses, effects: effects(alone, busy) };
}

/** `GET version` of many users while one user sends a given number of uploads. */
export interface ManyUsersResults {
  users: number;
  uploads: number;
  statuses: Statuses;
  version: Effect;
}

export async function manyUsers(
  { progress }: Run,
  homeserver: Homeserver,
): Promise<ManyUsersResults> {
  const title = `${homeserver.name}: ${MANY_USERS} users beside ${MANY_USERS_UPLOADS} uploads`;
  const tick = progress.phase(title, 3);
  const busyBackup = await homeserver.createBackup(USERS.busy);
  const users = await Promise.all(
    Array.from({ length: MANY_USERS }, async (_, n) => ({
      backup: await homeserver.createBackup(n + 1),
      client: homeserver.connect(n + 1, { connections: 4, timeoutMs: TIMEOUT_MS }),
    })),
  );
  const measure = (samples: Samples, isOver: () => boolean) =>
    Promise.all(
      users.map(async ({ client }, n) => {
        await sleep((n * PACE_MS) / MANY_USERS);
        const send = async () => samples.add(await attempt(client, 'GET', '/version'));
        await paced(PACE_MS, send, isOver);
      }),
    );
  const forSeconds = () => {
    const end = performance.now() + ALONE_SECONDS * 1000;
    return () => performance.now() > end;
  };
  const alone = new Samples();
  const busy = new Samples();
  await measure(alone, forSeconds());
  tick();
  const uploads = new BusyUploads(
    homeserver,
    USERS.busy,
    busyBackup,
    MANY_USERS_CONNECTIONS,
    MANY_USERS_UPLOADS,
  );
  await measure(busy, () => !uploads.isRunning);
  const statuses = await uploads.stop();
  tick();
  await sleep(SETTLE_MS);
  await measure(alone, forSeconds());
  tick();
  for (const { backup, client } of users) {
    client.close();
    await backup.delete();
  }
  await busyBackup.delete();
  return {
    users: MANY_USERS,
    uploads: MANY_USERS_UPLOADS,
    statuses,
    version: { alone: alone.observed, busy: busy.observed },
  };
}
