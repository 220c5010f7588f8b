import { type ValidationOptions, buildMessage, ValidateBy } from 'class-validator';
import { toAscii } from './opaque-json.js';

/** The text of a JSON value inside a body: what is opaque to the server is kept as it stands. */
export class RawJson {
  /** @param isAscii that it is, where that is known: it need not be looked for */
  constructor(
    readonly text: string,
    private readonly isAscii = false,
  ) {}

  get isObject(): boolean {
    return this.text.startsWith('{');
  }

  /**
   * The text with all beyond ASCII as `\uXXXX`, which is the same JSON value, and survives whatever
   * character set a connection to the database has.
   */
  get ascii(): string {
    if (this.isAscii) return this.text;
    return toAscii(this.text);
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
