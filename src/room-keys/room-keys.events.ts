/**
 * Events for a host's metrics and logs: plain objects, discriminated by `type`. None contains a token,
 * a key, a room id or a session id; a user id only where documented.
 */
import type { IncomingMessage } from 'node:http';

/**
 * The operation ids of the Matrix specification.
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
 * A request below `/room_keys` is finished: its response was sent, or the client disconnected.
 *
 * @publicApi
 */
export interface RoomKeysRequestEvent {
  type: 'request';
  /** Undefined for a preflight, an unknown path or a wrong method. */
  operation: RoomKeysOperation | undefined;
  /** As the client sent it. */
  method: string;
  /** The part of the path that identifies old clients (`r0`, `unstable`). */
  prefix: 'v3' | 'r0' | 'unstable';
  /** Status of the response; undefined if the client disconnected before it was begun. */
  status: number | undefined;
  /** Milliseconds from the arrival of the request to the end of the response. */
  durationMs: number;
  /** Bytes of the request body that were read, after decompression; 0 without one. */
  requestBytes: number;
  /** Bytes of the response body that were written to the connection. */
  responseBytes: number;
  /** The owner of the token, if it was accepted. */
  userId: string | undefined;
  /** Why the database could not serve it, if that is the reason for a 503; `disk-full` until there is space again. */
  databaseFailure?: 'disk-full' | 'unavailable' | undefined;
  /** Whether the connection was closed before the end of the response, by either side. */
  aborted: boolean;
}

/**
 * An upload succeeded, even if none of its keys had to be stored.
 *
 * @publicApi
 */
export interface RoomKeysKeysEvent {
  type: 'keys';
  /** Keys that were not in the backup. */
  added: number;
  /** Keys that replaced a worse one. */
  replaced: number;
  /** Keys that were not stored, because the one in the backup is as good or better. */
  kept: number;
}

/**
 * The changes of a user's backups other than uploads:
 *
 * | what           | keys in `count`           |
 * | -------------- | ------------------------- |
 * | `created`      | the new backup, which is 0 |
 * | `auth_data`    | the backup whose `auth_data` was changed |
 * | `keys_deleted` | the keys that were deleted: all, or those of a room |
 * | `deleted`      | the backup that was deleted |
 * | `restored`     | the backup that was restored, or whose deleted keys were |
 * | `imported`     | the backup that was imported, or that keys were merged into |
 * | `erased`       | all keys of the user      |
 *
 * @publicApi
 */
export type RoomKeysBackupChange =
  'created' | 'auth_data' | 'keys_deleted' | 'deleted' | 'restored' | 'imported' | 'erased';

/**
 * One change of a user's backups. It names no key and no room.
 *
 * @publicApi
 */
export interface RoomKeysHistoryEntry {
  at: Date;
  what: RoomKeysBackupChange;
  /** Undefined for a command, and if the verifier returned none. */
  deviceId: string | undefined;
  /** The changed backup; undefined if all backups were changed. */
  version: string | undefined;
  /** The current backup before and after the change; undefined for none. */
  currentBefore: string | undefined;
  currentAfter: string | undefined;
  /** Keys: see {@link RoomKeysBackupChange}. */
  count: number;
  /** Etag of the backup after the change; undefined if it has none. */
  etag: string | undefined;
}

/**
 * A user's backups changed, other than by an upload: one event for each entry of the history, after the commit.
 * The user and the device are in the history.
 *
 * @publicApi
 */
export interface RoomKeysBackupEvent {
  type: 'backup';
  what: RoomKeysBackupChange;
  /** The changed backup; undefined if all of them were erased. */
  version?: string | undefined;
  /** Keys: see `RoomKeysBackupChange`. */
  count: number;
  /** Etag of the backup after the change; undefined if all of them were erased. */
  etag?: string | undefined;
}

/**
 * The database aborted a transaction in favour of another.
 *
 * @publicApi
 */
export interface RoomKeysConflictEvent {
  type: 'conflict';
  /** The database's code, such as `ER_LOCK_DEADLOCK` or `SQLITE_BUSY`; `roomKeysConflictCodes` lists the known ones. */
  code: string;
  /** The attempt at the transaction, from 1. */
  attempt: number;
  /** Whether it was the last attempt: the client gets 503. Otherwise the transaction is retried. */
  gaveUp: boolean;
}

/**
 * A sweep: the rows of deleted keys are looked for and removed.
 *
 * @publicApi
 */
export interface RoomKeysSweepEvent {
  type: 'sweep';
  /** Removed rows of keys. */
  rows: number;
  /** Removed key sets: each was left by the deletion of a backup, or of all its keys. */
  sets: number;
  /** Deleted rooms that were removed from remaining key sets. */
  rooms: number;
  /** Duration in milliseconds. */
  durationMs: number;
  /** Key sets and rooms still to be removed, whichever process deleted them. Undefined if they could not be counted. */
  backlog: number | undefined;
  /** Milliseconds that the oldest of them has waited; 0 without any. */
  oldestMs: number | undefined;
  /** Deletions that can be undone, and their keys, in the whole database. Undefined if they could not be counted. */
  kept?: { deletions: number; keys: number } | undefined;
  /** Why it ended early, such as a code of the database; undefined if it did not. */
  failure: string | undefined;
}

/**
 * The verifier was called with an access token.
 *
 * @publicApi
 */
export interface RoomKeysTokenEvent {
  type: 'token';
  /**
   * `known`: it returned an owner; `unknown`: it returned null or threw `M_UNKNOWN_TOKEN`; `refused`:
   * the owner is a guest, or it threw another Matrix error; `failed`: it could not verify the token,
   * and the client gets 503.
   */
  outcome: 'known' | 'unknown' | 'refused' | 'failed';
  /** Milliseconds that the verifier took; close to 0 for a cached verdict. */
  durationMs: number;
}

/**
 * The events that an observer receives.
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
 * Receives events. It is called synchronously, so it must be fast; its first error is logged, and none
 * affects the request. A `request` event comes with the request itself, for what a host associates with
 * it, such as a request id: its headers and its URL may contain the access token.
 *
 * @publicApi
 */
export type RoomKeysObserver = (event: RoomKeysEvent, request?: IncomingMessage) => void;
