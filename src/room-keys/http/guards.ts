/** The guards of every operation, in the order in which they run. */
import {
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
} from '@nestjs/common';
import type { Request } from 'express';
import { rateLimits } from '../../rate-limits.js';
import { isId } from '../json/ids.js';
import { observerOf } from '../observer.js';
import type { RoomKeysTokenEvent } from '../room-keys.events.js';
import {
  guestForbidden,
  limitExceeded,
  MatrixError,
  missingToken,
  unknownToken,
  verifierFailed,
} from '../room-keys.errors.js';
import {
  type RateLimitedRequest,
  type RateLimiter,
  ROOM_KEYS_OPTIONS,
  type RoomKeysOptions,
  type TokenOwner,
} from '../room-keys-options.interface.js';
import { RoomKeysRequest } from './room-keys.request.js';

/**
 * Verifies the access token with the host's verifier, and keeps its owner for the request.
 *
 * Unless the verifier reports an unknown token, any failure is 503, never 401: clients log their user
 * out on `M_UNKNOWN_TOKEN`, and keys that are not backed up yet are lost with the session.
 */
@Injectable()
export class AccessTokenGuard implements CanActivate {
  private readonly logger = new Logger('RoomKeysAccessToken');
  private readonly observe;

  constructor(
    @Inject(ROOM_KEYS_OPTIONS)
    private readonly options: Pick<RoomKeysOptions, 'verifyAccessToken' | 'observe'>,
  ) {
    this.observe = observerOf(options);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const token = RoomKeysRequest.of(request).accessToken;
    if (token === undefined) throw missingToken();
    const owner = await (this.observe
      ? this.observed(token, request)
      : this.verify(token, request));
    if (owner === null) throw unknownToken();
    if (owner.isGuest) throw guestForbidden();
    RoomKeysRequest.of(request).owner = owner;
    return true;
  }

  private async observed(token: string, request: Request): Promise<TokenOwner | null> {
    const begun = performance.now();
    const tell = (outcome: RoomKeysTokenEvent['outcome']) =>
      this.observe?.({ type: 'token', outcome, durationMs: performance.now() - begun });
    try {
      const owner = await this.verify(token, request);
      tell(owner === null ? 'unknown' : owner.isGuest ? 'refused' : 'known');
      return owner;
    } catch (error) {
      const refusal = error as MatrixError;
      const status = refusal.getStatus();
      if (refusal.body.errcode === 'M_UNKNOWN_TOKEN') tell('unknown');
      else tell(status >= 500 || status === 429 ? 'failed' : 'refused');
      throw error;
    }
  }

  private async verify(token: string, request: Request): Promise<TokenOwner | null> {
    try {
      const owner = await this.options.verifyAccessToken(token, request);
      if (owner !== null) checkOwner(owner);
      return owner;
    } catch (error) {
      if (error instanceof MatrixError) throw error;
      const why = withoutToken(messageOf(error), token);
      this.logger.error(`verifyAccessToken failed, the client gets 503: ${why}`);
      throw verifierFailed();
    }
  }
}

function checkOwner(owner: TokenOwner): void {
  const { userId, deviceId } = (owner as TokenOwner | undefined) ?? { userId: '' };
  if (!isId(userId)) {
    throw new Error('it must return null or { userId }, with a user id of 1 to 255 bytes.');
  }
  if (deviceId !== undefined && deviceId !== null && !isId(deviceId)) {
    throw new Error('the deviceId it returns must be left out, or have 1 to 255 bytes.');
  }
}

/** Hosts can throw anything. */
function messageOf(error: unknown): string {
  const message: unknown = error instanceof Error ? error.message : error;
  return typeof message === 'string' ? message : 'it threw something without a message';
}

/** The message may contain the token in any form: verbatim, in a URL, in a form or in JSON. */
function withoutToken(message: string, token: string): string {
  const forms = [
    token,
    encodeURIComponent(token),
    new URLSearchParams({ '': token }).toString().slice(1),
    JSON.stringify(token).slice(1, -1),
  ];
  return forms.reduce((text, form) => text.replaceAll(form, '…'), message);
}

/**
 * Refuses requests beyond the rate limit of a user. It runs after the token is verified, since only
 * the token identifies users: behind a proxy they share one address. It runs before query and body are
 * read, so that a refused request costs next to nothing.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  private readonly logger = new Logger('RoomKeysRateLimit');
  private readonly limiter: RateLimiter | false;
  private complained = false;

  constructor(
    // created before the module itself, which validates the options
    @Inject(ROOM_KEYS_OPTIONS) options: Pick<RoomKeysOptions, 'rateLimit'> | null | undefined,
  ) {
    this.limiter = options?.rateLimit ?? rateLimits();
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const { requiredOwner: owner, operation } = RoomKeysRequest.of(request);
    if (this.limiter === false || owner.isRateLimited === false || !operation) return true;
    const kind = ['GET', 'HEAD'].includes(request.method) ? 'read' : 'write';
    const waitMs = await this.decide(this.limiter, { owner, operation, kind }, request);
    if (waitMs !== undefined) throw limitExceeded(Math.max(1, Math.ceil(waitMs)));
    return true;
  }

  private async decide(
    limiter: RateLimiter,
    asked: RateLimitedRequest,
    request: Request,
  ): Promise<number | undefined> {
    try {
      const waitMs = await limiter(asked, request);
      if (waitMs === undefined || Number.isFinite(waitMs)) return waitMs;
      throw new Error('it must return undefined or a number of milliseconds.');
    } catch (error) {
      if (error instanceof MatrixError) throw error;
      this.complain(error);
      return undefined;
    }
  }

  private complain(error: unknown): void {
    if (this.complained) return;
    this.complained = true;
    const why = error instanceof Error ? (error.stack ?? error.message) : 'not an Error';
    this.logger.error(`rateLimit failed, requests are let through; it is not logged again: ${why}`);
  }
}
