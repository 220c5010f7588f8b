/** Verifiers of access tokens that are ready made, and what writing another takes: `nestjs-room-keys/access-tokens`. */
export { unknownToken } from '../room-keys/room-keys.errors.js';
export { type ApplicationService, applicationServiceTokens } from './application-service-tokens.js';
export { type CachedOptions, cached } from './cached.js';
export { type DevelopmentToken, developmentTokens } from './fixed-tokens.js';
export { firstOf } from './first-of.js';
export { type HomeserverTokensOptions, homeserverTokens } from './homeserver-tokens.js';
export { type IntrospectedTokensOptions, introspectedTokens } from './introspected-tokens.js';
export type { ExpiringTokenOwner } from './verdict-cache.js';
