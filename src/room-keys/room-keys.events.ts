/**
 * What the module tells a host that wants to count, to measure or to log: plain objects, told apart
 * by `type`. None holds a token, a key, a room id or a session id; a user id only where it is said.
 */
import type { IncomingMessage } from 'node:http';
import type { RoomKeysBackupChange } from './backup-history.js';

/**
 * The contract's operation ids.
 *
 * @publicApi
 */
export type RoomKeysOperation =
  | 'postRoomKeysVersion'
  | 'getRoomKeysVersionCurrent'
  | 'getRoomKeysVersion'
  | 'putRoomKeysVersion'
  | 'deleteRoomKeysVersion'
  | 'putRoomKeys'
  | 'getRoomKeys'
  | 'deleteRoomKeys'
  | 'putRoomKeysByRoomId'
  | 'getRoomKeysByRoomId'
  | 'deleteRoomKeysByRoomId'
  | 'putRoomKeyBySessionId'
  | 'getRoomKeyBySessionId'
  | 'deleteRoomKeyBySessionId';

/**
 * A request below `/room_keys` is over: its answer was sent, or its client left.
 *
 * @publicApi
 */
export interface RoomKeysRequestEvent {
  type: 'request';
  /** Undefined for a preflight, an unknown path and a wrong method. */
  operation: RoomKeysOperation | undefined;
  /** As the client wrote it. */
  method: string;
  /** The part of the path by which old clients (`r0`, `unstable`) differ from others. */
  prefix: 'v3' | 'r0' | 'unstable';
  /** Of the answer, as far as it was begun; undefined where the client left before. */
  status: number | undefined;
  /** Milliseconds from the first look at the request to the end of its answer. */
  durationMs: number;
  /** Bytes of the body as far as it was read, after decompression; 0 without one. */
  requestBytes: number;
  /** Bytes of the answer's body that were handed to the connection. */
  responseBytes: number;
  /** Whose token it was, where one was accepted. */
  userId: string | undefined;
  /** Why the database could not serve it, where the answer is 503 for that; `disk-full` until there is room again. */
  databaseFailure?: 'disk-full' | 'unavailable' | undefined;
  /** Whether the connection ended before the answer did, by either side. */
  aborted: boolean;
}

/**
 * An upload is stored, or nothing of it was better than what was there.
 *
 * @publicApi
 */
export interface RoomKeysKeysEvent {
  type: 'keys';
  /** Keys whose ids were not in the backup. */
  added: number;
  /** Keys that took the place of a worse one. */
  replaced: number;
  /** Keys that were not stored, because the one in the backup is to stay. */
  kept: number;
}

/**
 * A user's backups changed, beside uploads: one event for each entry of the history, once it is committed.
 * The history has whose it is, and which device changed it.
 *
 * @publicApi
 */
export interface RoomKeysBackupEvent {
  type: 'backup';
  what: RoomKeysBackupChange;
  /** The backup that it is about; undefined where all of them were erased. */
  version?: string | undefined;
  /** Keys: see `RoomKeysBackupChange`. */
  count: number;
  /** Of the backup, after the change; undefined where all of them were erased. */
  etag?: string | undefined;
}

/**
 * The database gave a transaction up in favour of another.
 *
 * @publicApi
 */
export interface RoomKeysConflictEvent {
  type: 'conflict';
  /** The database's own, such as `ER_LOCK_DEADLOCK` or `SQLITE_BUSY`; `roomKeysConflictCodes` has those that are known. */
  code: string;
  /** Which attempt at the transaction it was, from 1. */
  attempt: number;
  /** Whether it was the last one: the client is told 503. Otherwise the transaction is begun again. */
  gaveUp: boolean;
}

/**
 * A look for deleted keys whose rows are still there, and the removal of what was found.
 *
 * @publicApi
 */
export interface RoomKeysSweepEvent {
  type: 'sweep';
  /** Rows of keys that were removed. */
  rows: number;
  /** Key sets that are gone: each is what a deleted backup, or a deletion of all its keys, left. */
  sets: number;
  /** Deleted rooms that are gone from key sets that stay. */
  rooms: number;
  /** Milliseconds that it took. */
  durationMs: number;
  /** Key sets and rooms that still wait, whichever process deleted them. Undefined where that could not be found out. */
  backlog: number | undefined;
  /** Milliseconds that the oldest of those has waited; 0 without any. */
  oldestMs: number | undefined;
  /** Deletions that can be undone, and their keys, in the whole database. Undefined where that could not be found out. */
  kept?: { deletions: number; keys: number } | undefined;
  /** Why it ended before it was through, such as a code of the database's; undefined if it did not. */
  failure: string | undefined;
}

/**
 * The verifier was asked whose an access token is.
 *
 * @publicApi
 */
export interface RoomKeysTokenEvent {
  type: 'token';
  /**
   * `known`: an owner's; `unknown`: nobody's, whether the verifier said so by null or by
   * `M_UNKNOWN_TOKEN`; `refused`: a guest's, or refused by the verifier with another error of its
   * own; `failed`: it could not say, and the client is told 503.
   */
  outcome: 'known' | 'unknown' | 'refused' | 'failed';
  /** Milliseconds that the verifier took; next to none where it remembers. */
  durationMs: number;
}

/**
 * What an observer is told.
 *
 * @publicApi
 */
export type RoomKeysEvent =
  | RoomKeysRequestEvent
  | RoomKeysKeysEvent
  | RoomKeysBackupEvent
  | RoomKeysConflictEvent
  | RoomKeysSweepEvent
  | RoomKeysTokenEvent;

/**
 * Hears what happens. It is called in the middle of the work, so it is to be quick; what it throws
 * is logged once, and harms nothing. With a `request` event comes the request itself, for what a
 * host keeps beside it, such as a request id: its headers and its URL may hold the access token.
 *
 * @publicApi
 */
export type RoomKeysObserver = (event: RoomKeysEvent, request?: IncomingMessage) => void;
