/**
 * The OpenAPI documentation of our routes. `@nestjs/swagger` is an optional peer: its decorators are collected, and
 * applied at the start of an application that has the package.
 */
import { Logger, type Type } from '@nestjs/common';
import type * as Swagger from '@nestjs/swagger';

type AnyDecorator = ClassDecorator | MethodDecorator | PropertyDecorator;
type EveryDecorator = ClassDecorator & MethodDecorator & PropertyDecorator;
type Property = Swagger.ApiPropertyOptions;

/** Used unless the host sets another one. */
const SECURITY_SCHEME = 'accessToken';

/** Decorators to be applied, in the order of definition. */
const waiting: ((swagger: typeof Swagger) => void)[] = [];

/** Decorates a class, a method or a property with decorators of `@nestjs/swagger`. */
export function Documented(
  decorators: (swagger: typeof Swagger) => AnyDecorator | readonly AnyDecorator[],
): EveryDecorator {
  return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
    waiting.push((swagger) => {
      for (const decorate of [decorators(swagger)].flat())
        (decorate as (...at: unknown[]) => void)(target, key, descriptor);
    });
  };
}

/** The name of a schema; the prefix keeps it from clashing with a DTO of the host, since the last of two wins. */
export const DocumentedSchema = (name: `RoomKeys${string}`): ClassDecorator =>
  Documented(({ ApiSchema }) => ApiSchema({ name }));

export const DocumentedProperty = (
  options: Property | ((swagger: typeof Swagger) => Property),
): PropertyDecorator =>
  Documented((swagger) =>
    swagger.ApiProperty(typeof options === 'function' ? options(swagger) : options),
  );

/**
 * Documents the controllers of one application, if `@nestjs/swagger` is installed.
 *
 * @param securityScheme name of the scheme for access tokens in its document; undefined if not set
 */
export async function documentControllers(
  controllers: readonly Type[],
  securityScheme: string | undefined,
): Promise<void> {
  const swagger = await loadSwagger();
  if (!swagger) return;
  for (const apply of waiting.splice(0)) apply(swagger);
  for (const controller of controllers)
    swagger.ApiBearerAuth(securityScheme ?? SECURITY_SCHEME)(controller);
  isSchemeMissing = securityScheme === undefined;
}

let isSchemeMissing = false;

/** Called by a type that is resolved only when a document is created: the schemes of the document are not known here. */
export function documentIsMade(): void {
  if (!isSchemeMissing) return;
  isSchemeMissing = false;
  new Logger('RoomKeysModule').warn(
    `Its operations refer to a security scheme that the OpenAPI document may lack. Add .addSecurity('${SECURITY_SCHEME}', { type: 'http', scheme: 'bearer' }) to your DocumentBuilder and securityScheme: '${SECURITY_SCHEME}' to the options of the module, or only the latter, with the name of an existing scheme.`,
  );
}

async function loadSwagger(): Promise<typeof Swagger | undefined> {
  try {
    return await import('@nestjs/swagger');
  } catch (error) {
    // ERR_MODULE_NOT_FOUND of Node's import, MODULE_NOT_FOUND of require and of Jest
    if (((error as NodeJS.ErrnoException).code ?? '').endsWith('MODULE_NOT_FOUND'))
      return undefined;
    throw error;
  }
}
