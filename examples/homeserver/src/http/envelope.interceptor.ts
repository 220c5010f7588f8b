import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
} from '@nestjs/common';
import { map, type Observable } from 'rxjs';

const BARE = 'bare-answer';

/** For controllers whose answers are to be what their handlers return. */
export const BareAnswers = () => SetMetadata(BARE, true);

/** Puts every answer into `{"data": …}`, but for those of {@link BareAnswers}. */
@Injectable()
export class EnvelopeInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (Reflect.hasMetadata(BARE, context.getClass())) return next.handle();
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}
