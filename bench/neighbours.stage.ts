import type { Homeserver } from './homeserver.js';
import {
  besideDeletion,
  deleteLargeRoom,
  type DeletionResults,
  type RoomResults,
} from './neighbours/deletion.case.js';
import { largeBodies, type LargeBodyResults } from './neighbours/large-bodies.case.js';
import { besideSlowRestores, type SlowRestoresResults } from './neighbours/slow-restores.case.js';
import {
  besideUploads,
  manyUsers,
  type ManyUsersResults,
  type UploadsResults,
} from './neighbours/uploads.case.js';
import type { Run } from './run.js';
import { warmUp } from './warm-up.js';

/** The busy user and twelve others. */
export const NEIGHBOURS = 13;

/** Uploads that the busy user keeps open. */
const OPEN_UPLOADS = [40, 400] as const;

/** How much the busy user does. */
export interface NeighboursSizes {
  /** Keys of the room that is deleted while other users send requests. */
  room: number;
  /** Keys of the room whose deletion is compared with that of a room with one key. */
  largeRoom: number;
  /** Keys of both rooms at the peer. */
  peerRoom: number;
  /** Keys of each backup that is read slowly. */
  slowBackup: number;
  /** Longest time in seconds for one measurement beside open uploads. */
  seconds: number;
}

/** What other users notice of one user, at one server. */
export interface NeighboursSide {
  uploads: UploadsResults[];
  manyUsers: ManyUsersResults;
  slowRestores: SlowRestoresResults;
  largeBodies: LargeBodyResults[];
  deletion: DeletionResults;
  room: RoomResults;
}

export interface NeighboursResults {
  sizes: NeighboursSizes;
  /** Beside the largest number of open uploads, with the default rate limits. */
  limited: UploadsResults;
  ours: NeighboursSide;
  peer: NeighboursSide | undefined;
}

/**
 * Measures what other users notice while one user does a lot.
 *
 * @param warmUpSeconds for each server, after our server was started without rate limits
 */
export async function neighbours(
  run: Run,
  sizes: NeighboursSizes,
  warmUpSeconds: number,
): Promise<NeighboursResults> {
  const limited = await besideUploads(run, run.ours, OPEN_UPLOADS[1], sizes.seconds);

  await run.restart({ RATE_LIMIT: 'off' });
  const sides = [run.ours, run.peer].filter((side) => side !== undefined);
  // memory first: the peak is compared with a server that was just started
  const bodies = await inTurn(sides, (side) => largeBodies(run, side));
  await warmUp({ ...run, floor: undefined }, warmUpSeconds);

  const uploads = { ours: [] as UploadsResults[], peer: [] as UploadsResults[] };
  for (const connections of OPEN_UPLOADS) {
    for (const side of sides) {
      uploads[side.name].push(await besideUploads(run, side, connections, sizes.seconds));
    }
  }
  const many = await inTurn(sides, (side) => manyUsers(run, side));
  const slow = await inTurn(sides, (side) => besideSlowRestores(run, side, sizes.slowBackup));
  const keys = (side: Homeserver, ours: number) => (side.name === 'ours' ? ours : sizes.peerRoom);
  const deletions = await inTurn(sides, (side) =>
    besideDeletion(run, side, keys(side, sizes.room)),
  );
  // ours last: what it deletes may be swept for a while
  const rooms = await inTurn(sides.toReversed(), (side) =>
    deleteLargeRoom(run, side, keys(side, sizes.largeRoom)),
  );
  const resultsOf = (name: Homeserver['name']): NeighboursSide => ({
    uploads: uploads[name],
    manyUsers: many(name),
    slowRestores: slow(name),
    largeBodies: bodies(name),
    deletion: deletions(name),
    room: rooms(name),
  });
  return {
    sizes,
    limited,
    ours: resultsOf('ours'),
    peer: run.peer && resultsOf('peer'),
  };
}

/** Measures one server after the other. @returns the results by name */
async function inTurn<T>(
  sides: readonly Homeserver[],
  measure: (side: Homeserver) => Promise<T>,
): Promise<(name: Homeserver['name']) => T> {
  const results = new Map<Homeserver['name'], T>();
  for (const side of sides) results.set(side.name, await measure(side));
  return (name) => {
    const result = results.get(name);
    if (result === undefined) throw new Error(`${name} was not measured`);
    return result;
  };
}
