import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { type Observable } from 'rxjs';
import { ROOM_KEYS_OPTIONS } from '../room-keys.module-definition.js';
import type { RoomKeysOptions } from '../room-keys-options.interface.js';
import { readJson } from './json-body.js';
import { checkParameters, setJsonBody } from './request-state.js';

export const DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Reads the body, once the guards have let the request through. */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  private readonly maxBytes: number;

  constructor(@Inject(ROOM_KEYS_OPTIONS) { maxBodyBytes }: Pick<RoomKeysOptions, 'maxBodyBytes'>) {
    this.maxBytes = maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    // what is wrong already is said before a body is waited for
    checkParameters(request);
    setJsonBody(request, await readJson(request, http.getResponse<Response>(), this.maxBytes));
    return next.handle();
  }
}
