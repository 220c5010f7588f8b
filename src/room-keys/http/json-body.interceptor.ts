import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import type { Request } from 'express';
import { finalize, type Observable } from 'rxjs';
import { ROOM_KEYS_OPTIONS } from '../room-keys.tokens.js';
import type { RoomKeysOptions } from '../room-keys-options.interface.js';
import { BodyMemoryLimit, DEFAULT_MAX_BODY_BYTES } from './body-memory-limit.js';
import { readJson } from './json-body.js';
import { checkParameters, setJsonBody, tokenOwner } from './request-state.js';

const DEFAULT_BODY_IDLE_TIMEOUT_MS = 30_000;

/** Reads the body, once the guards have let the request through. */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  private readonly maxBytes: number;
  private readonly idleMs: number;

  constructor(
    @Inject(ROOM_KEYS_OPTIONS) options: Pick<RoomKeysOptions, 'maxBodyBytes' | 'bodyIdleTimeoutMs'>,
    private readonly memory: BodyMemoryLimit,
  ) {
    this.maxBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.idleMs = options.bodyIdleTimeoutMs ?? DEFAULT_BODY_IDLE_TIMEOUT_MS;
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<Request>();
    // what is wrong already is said before a body is waited for
    checkParameters(request);
    const reservation = this.memory.open(tokenOwner(request).userId);
    try {
      const { maxBytes, idleMs } = this;
      setJsonBody(request, await readJson(request, { maxBytes, idleMs, reservation }));
      // what the body became is in memory for as long as the handler works with it
      return next.handle().pipe(
        finalize(() => {
          reservation.release();
        }),
      );
    } catch (error) {
      reservation.release();
      throw error;
    }
  }
}
