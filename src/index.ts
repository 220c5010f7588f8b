/** What a host needs: `nestjs-room-keys`. Verifiers, operations, rate limits and test helpers have entries of their own. */

// --- the module ---------------------------------------------------------------------------------
export { RoomKeysModule } from './room-keys/room-keys.module.js';
export type {
  AccessTokenVerifier,
  RoomKeysExtras,
  RoomKeysLimits,
  RoomKeysOptions,
  RoomKeysOptionsFactory,
  TokenOwner,
} from './room-keys/room-keys-options.interface.js';
export type { RoomKeysEvent, RoomKeysObserver } from './room-keys/room-keys.events.js';

// --- the host's DataSource ----------------------------------------------------------------------
export {
  limitLockWaits,
  prepareDataSource,
  runMigrations,
} from './room-keys/storage/database/prepare-data-source.js';
export { roomKeysEntities } from './room-keys/storage/entities.js';
export { roomKeysMigrations } from './room-keys/storage/migrations/index.js';

// --- the operations as methods ------------------------------------------------------------------
export { RoomKeysService } from './room-keys/room-keys.service.js';
export type {
  Backup,
  BackupInformation,
  KeySelection,
  KeysState,
  RoomKey,
} from './room-keys/room-key.js';
export { MatrixError } from './room-keys/room-keys.errors.js';
export { TransactionConflictError as RoomKeysTransactionConflictError } from './room-keys/storage.errors.js';
export type { HostTransaction } from './room-keys/storage/database/host-transaction.js';
export type { KeyPages } from './room-keys/storage/key-pages.js';
