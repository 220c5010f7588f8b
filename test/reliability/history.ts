/**
 * The requests and responses of a user's devices, and the state that a plain, serial server would keep:
 * the two that linearizability.ts holds against each other.
 */

import { createHash } from 'node:crypto';

/** A key, and which upload it came with: two keys of one rank are distinguishable. */
export interface MarkedKey {
  verified: boolean;
  index: number;
  forwarded: number;
  mark: string;
}

export interface UploadedKey extends MarkedKey {
  room: string;
  session: string;
}

/** Names a backup, one of its rooms, or one of its keys. */
export interface KeyPath {
  version: number;
  room?: string | undefined;
  session?: string | undefined;
}

export type Operation =
  | { kind: 'create backup'; mark: string }
  | { kind: 'update backup'; version: number; mark: string }
  | { kind: 'delete backup'; version: number }
  | { kind: 'read backup'; version?: number | undefined }
  | ({ kind: 'put keys'; keys: readonly UploadedKey[] } & KeyPath)
  | ({ kind: 'delete keys' } & KeyPath)
  | ({ kind: 'read keys' } & KeyPath);

/** An operation between the moment it was sent and the moment its answer was there. */
export interface HistoryEvent {
  operation: Operation;
  /** Ticks of one clock that all devices share: no two moments are the same. */
  invoked: number;
  answered: number;
  /** Undefined where it is not known whether the operation took place, for want of an answer. */
  answer: string | undefined;
}

interface BackupState {
  etag: number;
  authMark: string;
  keys: ReadonlyMap<string, MarkedKey>;
}

/** All that one user has. It is never changed: a change makes another. */
export interface UserState {
  lastVersion: number;
  backups: ReadonlyMap<number, BackupState>;
}

export const NOTHING_YET: UserState = { lastVersion: 0, backups: new Map() };

/** The answer to something that is not there. */
export const NOT_THERE = 'none';

/** How an answer about stored keys is written down. */
export const keysAnswer = (count: number, etag: string) => `count ${count}, etag ${etag}`;
export const wrongVersionAnswer = (current: string) => `current is ${current}`;
export const createdAnswer = (version: string) => `version ${version}`;
export const backupAnswer = (version: string, count: number, etag: string, mark: string) =>
  `version ${version}, ${keysAnswer(count, etag)}, ${mark}`;
export const contentAnswer = (keys: Iterable<readonly [id: string, key: MarkedKey]>) =>
  [...keys]
    .map(
      ([id, { verified, index, forwarded, mark }]) =>
        `${id}: ${verified ? 'verified' : 'unverified'} ${index} ${forwarded} ${mark}`,
    )
    .sort()
    .join('; ');

export const keyIdOf = ({ room, session }: { room: string; session: string }) =>
  `${room} ${session}`;

/**
 * What a serial server answers in a state, and the state that it is in afterwards: the same object
 * where nothing changed.
 */
export function take(state: UserState, operation: Operation): { state: UserState; answer: string } {
  switch (operation.kind) {
    case 'create backup': {
      const version = state.lastVersion + 1;
      const backup = { etag: 0, authMark: operation.mark, keys: new Map<string, MarkedKey>() };
      const backups = new Map(state.backups).set(version, backup);
      return { state: { lastVersion: version, backups }, answer: createdAnswer(String(version)) };
    }
    case 'read backup': {
      const version = operation.version ?? currentVersion(state);
      const backup = state.backups.get(version);
      if (!backup) return { state, answer: NOT_THERE };
      const { keys, etag, authMark } = backup;
      return { state, answer: backupAnswer(String(version), keys.size, String(etag), authMark) };
    }
    case 'delete backup': {
      const { version } = operation;
      if (version > state.lastVersion) return { state, answer: NOT_THERE };
      if (!state.backups.has(version)) return { state, answer: '' };
      const backups = new Map(state.backups);
      backups.delete(version);
      return { state: { ...state, backups }, answer: '' };
    }
    case 'update backup':
    case 'put keys':
    case 'delete keys':
    case 'read keys':
      return takeIn(state, operation);
  }
}

function takeIn(
  state: UserState,
  operation: Extract<Operation, { version: number }>,
): { state: UserState; answer: string } {
  const { version } = operation;
  const backup = state.backups.get(version);
  if (!backup) return { state, answer: NOT_THERE };
  const become = (changed: BackupState): UserState =>
    changed === backup
      ? state
      : { ...state, backups: new Map(state.backups).set(version, changed) };
  switch (operation.kind) {
    case 'update backup':
      return { state: become({ ...backup, authMark: operation.mark }), answer: '' };
    case 'put keys': {
      const current = currentVersion(state);
      if (version !== current) return { state, answer: wrongVersionAnswer(String(current)) };
      const changed = store(backup, operation.keys);
      return { state: become(changed), answer: stateAnswer(changed) };
    }
    case 'delete keys': {
      const changed = remove(backup, operation);
      return { state: become(changed), answer: stateAnswer(changed) };
    }
    case 'read keys': {
      const found = [...backup.keys].filter(([id]) => isIn(id, operation));
      const isThere = operation.session === undefined || found.length > 0;
      return { state, answer: isThere ? contentAnswer(found) : NOT_THERE };
    }
    default:
      throw new Error(`${operation.kind} is no operation on the inside of a backup`);
  }
}

/** Two states of one fingerprint are the same. */
export function fingerprint({ lastVersion, backups }: UserState): string {
  const texts = [...backups]
    .sort(([one], [other]) => one - other)
    .map(([version, backup]) => `${version} ${fingerprintOf(backup)}`);
  return [lastVersion, ...texts].join('\n');
}

const fingerprints = new WeakMap<BackupState, string>();

function fingerprintOf(backup: BackupState): string {
  let print = fingerprints.get(backup);
  if (print === undefined) {
    const { etag, authMark, keys } = backup;
    print = createHash('sha1')
      .update([etag, authMark, contentAnswer(keys)].join())
      .digest('hex');
    fingerprints.set(backup, print);
  }
  return print;
}

function currentVersion({ backups }: UserState): number {
  return Math.max(0, ...backups.keys());
}

const stateAnswer = ({ keys, etag }: BackupState) => keysAnswer(keys.size, String(etag));

function store(backup: BackupState, uploaded: readonly UploadedKey[]): BackupState {
  const keys = new Map(backup.keys);
  let changed = false;
  for (const { room, session, ...key } of uploaded) {
    const id = keyIdOf({ room, session });
    const stored = keys.get(id);
    if (stored && !replaces(key, stored)) continue;
    keys.set(id, key);
    changed = true;
  }
  return changed ? { ...backup, etag: backup.etag + 1, keys } : backup;
}

function remove(backup: BackupState, place: KeyPath): BackupState {
  const keys = new Map([...backup.keys].filter(([id]) => !isIn(id, place)));
  return keys.size < backup.keys.size ? { ...backup, etag: backup.etag + 1, keys } : backup;
}

function isIn(id: string, { room, session }: KeyPath): boolean {
  if (room === undefined) return true;
  return session === undefined ? id.startsWith(`${room} `) : id === keyIdOf({ room, session });
}

/** Of two keys: the verified one; else the one with the lower index; else the one forwarded less. */
function replaces(key: MarkedKey, stored: MarkedKey): boolean {
  if (key.verified !== stored.verified) return key.verified;
  if (key.index !== stored.index) return key.index < stored.index;
  return key.forwarded < stored.forwarded;
}
