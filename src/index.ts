/** The public API of nestjs-room-keys, by name. */

// --- the module -----------------------------------------------------------------------------
export { RoomKeysModule } from './room-keys/room-keys.module.js';
export type {
  AccessTokenVerifier,
  RoomKeysExtras,
  RoomKeysOptions,
  RoomKeysOptionsFactory,
  TokenOwner,
} from './room-keys/room-keys-options.interface.js';

// --- for the host's DataSource ---------------------------------------------------------------
export { roomKeysEntities } from './room-keys/storage/entities.js';
export { roomKeysMigrations } from './room-keys/storage/migrations/index.js';

// --- the operations as methods ---------------------------------------------------------------
export { RoomKeysService } from './room-keys/room-keys.service.js';
export type {
  Backup,
  BackupInformation,
  BackupSummary,
  KeyId,
  KeyRank,
  KeySelection,
  KeysState,
  RoomKey,
  UserSummary,
} from './room-keys/room-key.js';
export type { KeyPages } from './room-keys/storage/key-pages.js';

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
export {
  type ExpiringTokenOwner,
  type RememberedOptions,
  remembered,
} from './access-tokens/remembered.js';
export { firstKnown } from './access-tokens/first-known.js';

// --- for the host's OpenAPI document ---------------------------------------------------------
export { SECURITY_SCHEME as ROOM_KEYS_SECURITY_SCHEME } from './room-keys/http/room-keys-controller.decorator.js';
