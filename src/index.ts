/** The public API of nestjs-room-keys, by name. */

// --- the module -----------------------------------------------------------------------------
export { RoomKeysModule } from './room-keys/room-keys.module.js';
export type {
  AccessTokenVerifier,
  RateLimitedRequest,
  RateLimiter,
  RoomKeysExtras,
  RoomKeysLimits,
  RoomKeysOptions,
  RoomKeysOptionsFactory,
  TokenOwner,
} from './room-keys/room-keys-options.interface.js';

// --- for metrics and logs --------------------------------------------------------------------
export type {
  RoomKeysConflictEvent,
  RoomKeysEvent,
  RoomKeysKeysEvent,
  RoomKeysObserver,
  RoomKeysOperation,
  RoomKeysRequestEvent,
  RoomKeysSweepEvent,
  RoomKeysTokenEvent,
} from './room-keys/room-keys.events.js';
export { roomKeysConflictCodes } from './room-keys/storage/database/errors.js';

// --- for the host's DataSource ---------------------------------------------------------------
export { causalReads } from './room-keys/storage/database/causal-reads.js';
export {
  limitLockWaits,
  prepareDataSource,
  runMigrations,
} from './room-keys/storage/database/prepare-data-source.js';
export { roomKeysEntities } from './room-keys/storage/entities.js';
export { roomKeysMigrations } from './room-keys/storage/migrations/index.js';

// --- the operations as methods ---------------------------------------------------------------
export { RoomKeysService } from './room-keys/room-keys.service.js';
export type { HostTransaction } from './room-keys/storage/database/host-transaction.js';
export { TransactionConflictError as RoomKeysTransactionConflictError } from './room-keys/storage.errors.js';
export type {
  Activity,
  Backup,
  BackupInformation,
  BackupSummary,
  ConnectionCounts,
  KeyId,
  KeyRank,
  KeySelection,
  KeysState,
  RoomKey,
  UserSummary,
} from './room-keys/room-key.js';
export type { KeyPages } from './room-keys/storage/key-pages.js';

// --- what operators ask for, outside of requests ---------------------------------------------
export { RoomKeysMaintenance, type VerifyOptions } from './room-keys/room-keys.maintenance.js';
export type {
  RoomKeysFinding,
  RoomKeysFindingCode,
  RoomKeysVerificationProgress,
} from './room-keys/verification.js';
export type { LargeBackup, RoomKeysStatistics } from './room-keys/statistics.js';

// --- moving backups in and out ---------------------------------------------------------------
export { RoomKeysTransfer } from './room-keys/room-keys.transfer.js';
export { SourceError as RoomKeysSourceError } from './room-keys/transfer/source-database.js';
export type { HomeserverKind as RoomKeysHomeserverKind } from './room-keys/transfer/homeserver.source.js';
export type {
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransferIssue,
  RoomKeysTransferIssueCode,
  RoomKeysTransferProgress,
} from './room-keys/transfer/transfer.js';

// --- for verifiers ---------------------------------------------------------------------------
export { MatrixError, type MatrixErrorBody, unknownToken } from './room-keys/room-keys.errors.js';
export {
  type HomeserverTokensOptions,
  homeserverTokens,
} from './access-tokens/homeserver-tokens.js';
export {
  type IntrospectedTokensOptions,
  introspectedTokens,
} from './access-tokens/introspected-tokens.js';
export {
  type ApplicationService,
  applicationServiceTokens,
} from './access-tokens/application-service-tokens.js';
export { type DevelopmentToken, developmentTokens } from './access-tokens/development-tokens.js';
export { type CachedOptions, cached } from './access-tokens/cached.js';
export type { ExpiringTokenOwner } from './access-tokens/verdict-cache.js';
export { firstOf } from './access-tokens/first-of.js';

// --- for limits of requests --------------------------------------------------------------------
export {
  type RateLimitsOptions,
  rateLimits,
  type RedisClient,
  type RequestRate,
} from './room-keys/rate-limits.js';
