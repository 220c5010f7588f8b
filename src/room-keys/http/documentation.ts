/**
 * The OpenAPI documentation of our routes. `@nestjs/swagger` is an optional peer: its decorators are written where
 * they belong, and applied when an application starts that has the package.
 */
import { Logger, type Type } from '@nestjs/common';
import type * as Swagger from '@nestjs/swagger';

type AnyDecorator = ClassDecorator | MethodDecorator | PropertyDecorator;
type EveryDecorator = ClassDecorator & MethodDecorator & PropertyDecorator;
type Property = Swagger.ApiPropertyOptions;

/** Of those hosts that name no other. */
const SECURITY_SCHEME = 'accessToken';

/** What is to be applied, in the order in which the classes are defined. */
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

/** The name of a schema: one that no DTO of a host's has, since of two with one name the last is documented. */
export const DocumentedSchema = (name: `RoomKeys${string}`): ClassDecorator =>
  Documented(({ ApiSchema }) => ApiSchema({ name }));

export const DocumentedProperty = (
  options: Property | ((swagger: typeof Swagger) => Property),
): PropertyDecorator =>
  Documented((swagger) =>
    swagger.ApiProperty(typeof options === 'function' ? options(swagger) : options),
  );

/**
 * Documents the controllers of one application, where `@nestjs/swagger` is installed.
 *
 * @param securityScheme name of the scheme that its document has for access tokens; undefined if it said none
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

/** For a type that is looked at only when a document is made: which schemes that has cannot be seen from here. */
export function documentIsMade(): void {
  if (!isSchemeMissing) return;
  isSchemeMissing = false;
  new Logger('RoomKeysModule').warn(
    `Its operations ask for a security scheme in the OpenAPI document: add .addSecurity('${SECURITY_SCHEME}', { type: 'http', scheme: 'bearer' }) to your DocumentBuilder and securityScheme: '${SECURITY_SCHEME}' to the options of the module, or only the latter with the name of a scheme that is there.`,
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
