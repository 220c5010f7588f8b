import { setTimeout as sleep } from 'node:timers/promises';
import type { Homeserver } from '../homeserver.js';
import type { HttpClient } from '../http-client.js';
import { KeySource } from '../keys.js';
import { swept } from '../large.stage.js';
import type { Run } from '../run.js';
import { median } from '../statistics.js';
import { BusyUploads } from './busy-uploads.js';
import { filledBackup } from './fill.js';
import { USERS } from './others.js';
import { paced } from './paced.js';
import { attempt, countStatus, type Effect, Samples, type Statuses } from './samples.js';

const UPLOADS = 14;
/** How long the uploads go on before the deletion is sent. */
const UPLOADS_FIRST_MS = 200;
const PACE_MS = 20;
const LEAST_SAMPLES = 100;
/** Requests that wait need a connection each. */
const CONNECTIONS = 10;
const READY_EVERY_MS = 100;
const SMALL_ROOMS = 15;
const TIMEOUT_MS = 30_000;

/** Another user's `GET version` while one user deletes a room and uploads. */
export interface DeletionResults {
  /** Keys in the room. */
  keys: number;
  delete: { status: string; ms: number };
  uploads: Statuses;
  version: Effect;
  /** Answers of `/health/ready` meanwhile. Undefined for the peer. */
  ready: Statuses | undefined;
}

export async function besideDeletion(
  run: Run,
  homeserver: Homeserver,
  keys: number,
): Promise<DeletionResults> {
  const source = new KeySource('room', 1);
  const { roomId } = source.key(0);
  const backup = await filledBackup(homeserver, USERS.busy, source, keys, run.progress);
  const reader = await homeserver.createBackup(USERS.reader);
  const client = homeserver.connect(USERS.reader, {
    connections: CONNECTIONS,
    timeoutMs: TIMEOUT_MS,
  });
  const tick = run.progress.phase(`${homeserver.name}: beside a deletion`, 2);
  const alone = new Samples();
  const busy = new Samples();
  const measure = (samples: Samples, isOver: () => boolean) =>
    paced(
      PACE_MS,
      async () => samples.add(await attempt(client, 'GET', '/version')),
      (sent) => sent >= LEAST_SAMPLES && isOver(),
    );

  await measure(alone, () => true);
  tick();
  const uploads = new BusyUploads(homeserver, USERS.busy, backup, UPLOADS);
  const ready = homeserver.name === 'ours' ? watchReady(run.server.url) : undefined;
  await sleep(UPLOADS_FIRST_MS);
  const deletion = deleteRoom(backup.client, backup.version, roomId);
  let deleted: DeletionResults['delete'] | undefined;
  void deletion.then((result) => (deleted = result));
  await measure(busy, () => deleted !== undefined);
  const statuses = await uploads.stop();
  const readyStatuses = await ready?.();
  await backup.delete();
  if (homeserver.name === 'ours') await swept(run);
  await measure(alone, () => true);
  tick();
  client.close();
  await reader.delete();
  return {
    keys,
    delete: await deletion,
    uploads: statuses,
    version: { alone: alone.observed, busy: busy.observed },
    ready: readyStatuses,
  };
}

/** Milliseconds to delete a room, by how many keys it has. */
export interface RoomResults {
  keys: number;
  large: { status: string; ms: number };
  /** Median of rooms with one key each. */
  one: number;
}

export async function deleteLargeRoom(
  run: Run,
  homeserver: Homeserver,
  keys: number,
): Promise<RoomResults> {
  const source = new KeySource('large room', 1);
  const backup = await filledBackup(homeserver, USERS.busy, source, keys, run.progress);
  const tick = run.progress.phase(`${homeserver.name}: delete rooms`, SMALL_ROOMS + 1);
  const one: number[] = [];
  for (let n = 0; n < SMALL_ROOMS; n++) {
    const key = new KeySource(`small room ${n}`, 1).key(0);
    await backup.store([key], 'added');
    one.push(await backup.deleteRoom([key]));
    tick();
  }
  const large = await deleteRoom(backup.client, backup.version, source.key(0).roomId);
  tick();
  await backup.delete();
  return { keys, large, one: median(one) };
}

async function deleteRoom(client: HttpClient, version: string, roomId: string) {
  const path = `/keys/${encodeURIComponent(roomId)}?version=${version}`;
  const { status, ms } = await attempt(client, 'DELETE', path);
  return { status, ms };
}

/** Asks our server again and again whether it is ready. @returns ends this */
function watchReady(url: string): () => Promise<Statuses> {
  const statuses: Statuses = {};
  let over = false;
  const loop = async () => {
    while (!over) {
      const status = await fetch(`${url}/health/ready`).then(
        async (response) => (await response.arrayBuffer(), String(response.status)),
        () => 'no answer',
      );
      countStatus(statuses, { status });
      await sleep(READY_EVERY_MS);
    }
  };
  const done = loop();
  return async () => {
    over = true;
    await done;
    return statuses;
  };
}
