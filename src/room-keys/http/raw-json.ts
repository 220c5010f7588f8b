import { type ValidationOptions, buildMessage, ValidateBy } from 'class-validator';

/** The text of a JSON value inside a body: what is opaque to the server is kept as it stands. */
export class RawJson {
  constructor(readonly text: string) {}

  get isObject(): boolean {
    return this.text.startsWith('{');
  }

  /**
   * The text with all beyond ASCII as `\uXXXX`, which is the same JSON value, and survives whatever
   * character set a connection to the database has.
   */
  get ascii(): string {
    return this.text.replace(
      // only strings can hold such characters: the rest of JSON is ASCII
      /[^\0-\x7f]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  }
}

/** Checks that the property is a {@link RawJson} that holds an object. */
export const IsJsonObject = (options?: ValidationOptions): PropertyDecorator =>
  ValidateBy(
    {
      name: 'isJsonObject',
      validator: {
        validate: (value: unknown) => value instanceof RawJson && value.isObject,
        defaultMessage: buildMessage((prefix) => `${prefix}$property must be an object`, options),
      },
    },
    options,
  );
