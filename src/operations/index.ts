/** What operators need outside of requests, and the types of events: `nestjs-room-keys/operations`. */

// --- statistics, verification, sweeping ---------------------------------------------------------
export { RoomKeysMaintenance, type VerifyOptions } from './room-keys.maintenance.js';
export type {
  LargeBackup,
  RoomKeysStatistics,
  StoredUserCounts,
} from '../room-keys/storage/statistics.repository.js';
export type {
  RoomKeysFinding,
  RoomKeysFindingCode,
  RoomKeysVerificationProgress,
} from '../room-keys/storage/verification.js';

// --- what was deleted, and what happened ----------------------------------------------------------
export type { RoomKeysBackupChange, RoomKeysHistoryEntry } from '../room-keys/room-keys.events.js';
export type { RoomKeysDeletion } from '../room-keys/storage/kept-deletions.js';
export type { RoomKeysRestoreOptions, RoomKeysRestoreResult } from './restore-deleted.js';

// --- moving backups in and out ------------------------------------------------------------------
export { RoomKeysTransfer } from './room-keys.transfer.js';
export type { HomeserverKind as RoomKeysHomeserverKind } from './transfer/homeserver.source.js';
export { SourceError as RoomKeysSourceError } from './transfer/backup-source.js';
export type {
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransferIssue,
  RoomKeysTransferIssueCode,
  RoomKeysTransferProgress,
} from './transfer/transfer.js';

// --- closed accounts ----------------------------------------------------------------------------
export {
  type RoomKeysAccountSource,
  type RoomKeysClosedAccount,
  RoomKeysClosedAccounts,
  type RoomKeysClosedAccountsOptions,
  type RoomKeysClosedAccountsResult,
} from './room-keys.closed-accounts.js';

// --- for metrics and logs -----------------------------------------------------------------------
export type {
  RoomKeysBackupEvent,
  RoomKeysConflictEvent,
  RoomKeysKeysEvent,
  RoomKeysOperation,
  RoomKeysRequestEvent,
  RoomKeysSweepEvent,
  RoomKeysTokenEvent,
} from '../room-keys/room-keys.events.js';
export type {
  Activity,
  BackupSummary,
  ConnectionCounts,
  UserSummary,
} from '../room-keys/room-key.js';
export { roomKeysConflictCodes } from '../room-keys/storage/database/errors.js';
