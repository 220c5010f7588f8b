import { type ValidationOptions, buildMessage, ValidateBy } from 'class-validator';
import { toAscii } from './opaque-json.js';

/** The text of a JSON value that is opaque to the server and stored unchanged. */
export class RawJson {
  /** @param isAscii true if it is known to be ASCII, which saves looking */
  constructor(
    readonly text: string,
    private readonly isAscii = false,
  ) {}

  get isObject(): boolean {
    return this.text.startsWith('{');
  }

  /**
   * The text with all characters beyond ASCII escaped as `\uXXXX`: the same JSON value, independent of the
   * character set of a connection to the database.
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
