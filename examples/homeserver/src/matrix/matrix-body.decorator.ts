import { createParamDecorator, type ExecutionContext, type Type } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import type { Request } from 'express';
import { badJson } from './errors.js';

/**
 * The body as a DTO, checked as Matrix wants it: unknown members are not an error, since a
 * newer client may send them. The global pipe would refuse those; it leaves custom parameters alone.
 */
export const MatrixBody = createParamDecorator(
  (dtoClass: Type<object>, context: ExecutionContext): object => {
    const body: unknown = context.switchToHttp().getRequest<Request>().body ?? {};
    if (typeof body !== 'object' || Array.isArray(body)) {
      throw badJson('The body must be an object.');
    }
    const dto = plainToInstance(dtoClass, body);
    const [fault] = validateSync(dto, { whitelist: true, stopAtFirstError: true });
    if (fault) throw badJson(textOf(fault));
    return dto;
  },
);

function textOf({ property, constraints, children = [] }: ValidationError): string {
  const [text] = Object.values(constraints ?? {});
  if (text !== undefined) return text;
  return children[0] ? `${property}.${textOf(children[0])}` : `${property} is not valid`;
}
