import type { Goal } from '../goals.js';
import type { NeighboursResults, NeighboursSide } from '../neighbours.stage.js';
import { REQUESTS, type Request } from './others.js';
import type { Effect, Statuses } from './samples.js';
import { THIRD_USER_RESTORES } from './slow-restores.case.js';

const MEBIBYTE = 1024 * 1024;

/** What is meant by each request. */
export const REQUEST_TITLES: Record<Request, string> = {
  version: 'GET version',
  upload: 'upload of 100 keys',
  restore: 'restore of 1,000 keys',
};

/** The goals for what other users notice of one user. */
export function neighboursGoals(results: NeighboursResults | undefined, isSqlite: boolean): Goal[] {
  const ours = results?.ours;
  const beside = (connections: number, limit: number) =>
    REQUESTS.map((request): Goal => {
      const effect = ours?.uploads.find((one) => one.connections === connections)?.effects[request];
      return {
        what: `another user's ${REQUEST_TITLES[request]} beside ${connections} open uploads`,
        ...timesAsLong(limit, effect),
        atItsSize: true,
      };
    });
  return [
    ...beside(40, 2),
    ...beside(400, isSqlite ? 10 : 3),
    {
      what: "another user's GET version beside the deletion of a room and 14 open uploads",
      ...timesAsLong(3, ours?.deletion.version),
      atItsSize: ours?.deletion.keys === 200_000,
    },
    readiness(ours?.deletion.ready, ours?.deletion.keys),
    deletionOfRoom(ours?.room),
    slowRestores(ours?.slowRestores.restore),
    ...largeBodies(ours?.largeBodies),
  ];
}

export const failures = ({ failures: count, samples }: Effect['busy']) =>
  count === 0 ? 'no failures' : `${count} of ${samples} failed`;

function timesAsLong(limit: number, effect: Effect | undefined) {
  const goal = `at most ${limit} times as long, no failures`;
  if (!effect) return { goal, measured: undefined, reached: undefined };
  const { alone, busy } = effect;
  const ratio = busy.median / alone.median;
  return {
    goal,
    measured: Number.isNaN(ratio) ? failures(busy) : `${ratio.toFixed(2)}, ${failures(busy)}`,
    reached: ratio <= limit && busy.failures === 0,
  };
}

function readiness(statuses: Statuses | undefined, keys: number | undefined): Goal {
  return {
    what: 'readiness meanwhile',
    goal: 'always 200',
    measured: statuses && text(statuses),
    reached: statuses && Object.keys(statuses).every((status) => status === '200'),
    atItsSize: keys === 200_000,
  };
}

function deletionOfRoom(room: NeighboursSide['room'] | undefined): Goal {
  const keys = (room?.keys ?? 1_000_000).toLocaleString('en-GB');
  const goal = {
    what: `deleting a room of ${keys} keys against one of one key`,
    goal: 'at most 3 times as long',
    atItsSize: room?.keys === 1_000_000,
  };
  if (!room) return { ...goal, measured: undefined, reached: undefined };
  const { large, one } = room;
  const isDeleted = large.status === '200';
  return {
    ...goal,
    measured: `${(large.ms / one).toFixed(2)}${isDeleted ? '' : `, ${large.status}`}`,
    reached: large.ms <= 3 * one && isDeleted,
  };
}

function slowRestores(restore: Effect | undefined): Goal {
  return {
    what: "a third user's restores beside 12 slow ones of two users",
    goal: `all ${THIRD_USER_RESTORES} are 200`,
    measured: restore && text(restore.busy.statuses),
    reached: restore === undefined ? undefined : restore.busy.failures === 0,
    atItsSize: true,
  };
}

function largeBodies(bodies: NeighboursSide['largeBodies'] | undefined): Goal[] {
  const over = most(
    bodies?.map(({ idle, peak }) =>
      idle === undefined || peak === undefined ? undefined : (peak - idle) / MEBIBYTE,
    ),
  );
  const wait = most(bodies?.map(({ version }) => version.longest));
  const atMost = (what: string, limit: number, unit: string, value: number | undefined): Goal => ({
    what,
    goal: `at most ${limit} ${unit}`,
    measured: value === undefined ? undefined : `${value.toFixed(0)} ${unit}`,
    reached: value === undefined ? undefined : value <= limit,
    atItsSize: true,
  });
  return [
    atMost('memory for one body of 15 MB, over idle', 250, 'MB', over),
    atMost("another user's longest GET version meanwhile", 500, 'ms', wait),
  ];
}

/** Undefined if one of them is. */
function most(numbers: readonly (number | undefined)[] | undefined): number | undefined {
  const known = numbers?.filter((one) => one !== undefined) ?? [];
  return known.length > 0 && known.length === numbers?.length ? Math.max(...known) : undefined;
}

/** Such as `3,000 × 200, 12 × 429`. */
export function text(statuses: Statuses): string {
  const all = Object.entries(statuses).map(
    ([status, count]) => `${count.toLocaleString('en-GB')} × ${status}`,
  );
  return all.join(', ') || 'none';
}
