import type { DataSource, QueryRunner } from 'typeorm';
import { query } from '../support/sql.js';

/** What must hold of the tables whatever happened: every breach of it, in words. */
export interface Findings {
  faults: string[];
  /** Key sets that are no longer read, and that wait for the sweeper. */
  retired: number;
  /** Such as `version 1 of @alice:hs1`. */
  backups: string[];
  keys: number;
}

interface Backup {
  user: string;
  version: number;
  set: number;
  count: number;
  bytes: number;
  largest: number;
  next: number;
}

/**
 * Reads all tables as of one moment and holds them against each other: counts, bytes and numbers
 * of each backup against its rows, and that no row is without the one that it belongs to.
 */
export async function inspectRows(dataSource: DataSource): Promise<Findings> {
  const runner = dataSource.createQueryRunner('master');
  try {
    // SQLite has no other, and calls it otherwise
    await runner.startTransaction(
      dataSource.options.type === 'better-sqlite3' ? undefined : 'REPEATABLE READ',
    );
    return await inspect(runner);
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

async function inspect(runner: QueryRunner): Promise<Findings> {
  const rows = (sql: string) => query<Record<string, unknown>>(runner, sql);
  const faults: string[] = [];
  const users = new Map(
    (await rows('SELECT user_id, last_version, current_version FROM room_keys_users')).map(
      (row) => [
        String(row.user_id),
        {
          last: Number(row.last_version),
          current: row.current_version === null ? undefined : Number(row.current_version),
        },
      ],
    ),
  );
  const backups: Backup[] = (await rows('SELECT * FROM room_keys_backups')).map((row) => ({
    user: String(row.user_id),
    version: Number(row.version),
    set: Number(row.key_set_id),
    count: Number(row.key_count),
    bytes: Number(row.byte_count),
    largest: Number(row.largest_key),
    next: Number(row.next_seq),
  }));
  const sets = new Map(
    (await rows('SELECT key_set_id, retired_at FROM room_keys_key_sets')).map((row) => [
      Number(row.key_set_id),
      { retired: row.retired_at !== null },
    ]),
  );
  const rooms = await rows(
    'SELECT key_set_id, room_no, key_count, byte_count FROM room_keys_rooms',
  );
  const deletedRooms = new Set(
    (await rows('SELECT key_set_id, room_no FROM room_keys_retired_rooms')).map(
      (row) => `${Number(row.key_set_id)} ${Number(row.room_no)}`,
    ),
  );
  const roomNames = new Set(rooms.map((row) => `${Number(row.key_set_id)} ${Number(row.room_no)}`));
  if (roomNames.size < rooms.length) faults.push('two rooms of a set have one number');
  const keys = (
    await rows(
      'SELECT key_set_id, room_no, seq, OCTET_LENGTH(session_data) AS bytes FROM room_keys_keys',
    )
  ).map((row) => ({
    set: Number(row.key_set_id),
    room: Number(row.room_no),
    seq: Number(row.seq),
    bytes: Number(row.bytes),
  }));

  const ofSet = new Map<number, typeof keys>();
  for (const key of keys) {
    const own = ofSet.get(key.set) ?? [];
    // what waits to be removed counts no more
    ofSet.set(key.set, deletedRooms.has(`${key.set} ${key.room}`) ? own : [...own, key]);
  }
  for (const room of rooms) {
    const [set, no] = [Number(room.key_set_id), Number(room.room_no)];
    const own = (ofSet.get(set) ?? []).filter(({ room: its }) => its === no);
    const size = own.reduce((sum, key) => sum + key.bytes, 0);
    const name = `room ${no} of set ${set}`;
    if (deletedRooms.has(`${set} ${no}`)) faults.push(`${name}: its number waits to be removed`);
    if (own.length !== Number(room.key_count))
      faults.push(`${name}: ${own.length} rows, not ${Number(room.key_count)}`);
    if (size !== Number(room.byte_count))
      faults.push(`${name}: ${size} bytes, not ${Number(room.byte_count)}`);
  }
  const owned = new Set(backups.map(({ set }) => set));
  if (owned.size < backups.length) faults.push('two backups have one key set');

  for (const [user, { last, current }] of users) {
    const versions = backups.filter((backup) => backup.user === user).map((b) => b.version);
    const newest = versions.length > 0 ? Math.max(...versions) : undefined;
    if (current !== newest) faults.push(`${user}: ${current} is current, and not ${newest}`);
    if (newest !== undefined && newest > last) faults.push(`${user}: ${newest} was never given`);
  }
  for (const backup of backups) {
    const name = `version ${backup.version} of ${backup.user}`;
    const own = ofSet.get(backup.set) ?? [];
    const bytes = own.reduce((sum, key) => sum + key.bytes, 0);
    const set = sets.get(backup.set);
    if (!users.has(backup.user)) faults.push(`${name}: its user has no row`);
    if (!set) faults.push(`${name}: its key set has no row`);
    if (set?.retired) faults.push(`${name}: its key set is retired`);
    if (own.length !== backup.count)
      faults.push(`${name}: ${own.length} rows, not ${backup.count}`);
    if (bytes !== backup.bytes) faults.push(`${name}: ${bytes} bytes, not ${backup.bytes}`);
    for (const key of own) {
      if (key.bytes > backup.largest) faults.push(`${name}: a key is larger than its largest`);
      if (key.seq >= backup.next) faults.push(`${name}: the number ${key.seq} will come again`);
      if (!roomNames.has(`${key.set} ${key.room}`)) faults.push(`${name}: a key without its room`);
    }
  }
  for (const [set, { retired }] of sets) {
    if (!retired && !owned.has(set)) faults.push(`set ${set} is nobody's, and not retired`);
  }
  const named = [
    ...rooms.map((row) => Number(row.key_set_id)),
    ...[...deletedRooms].map(parseFloat),
  ];
  for (const set of new Set([...ofSet.keys(), ...named])) {
    if (!sets.has(set)) faults.push(`set ${set} was swept, and rows of it are there`);
  }
  const retired = [...sets.values()].filter((set) => set.retired).length + deletedRooms.size;
  const names = backups.map(({ user, version }) => `version ${version} of ${user}`).sort();
  return { faults, retired, backups: names, keys: keys.length };
}
