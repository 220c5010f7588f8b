import { invalidParameter } from '../room-keys.errors.js';

/** Matrix's limit for user ids, room ids and device ids; applied to session ids and algorithms too. */
export const MAX_ID_BYTES = 255;

/** Why a text is not 1 to 255 bytes of well-formed UTF-8; undefined if it is. */
export function idFault(text: string): string | undefined {
  // A lone surrogate cannot be encoded in UTF-8: two different ids would be stored as the same.
  if (!text.isWellFormed()) return 'is not valid Unicode';
  if (text === '') return 'is empty';
  return Buffer.byteLength(text) > MAX_ID_BYTES
    ? `is longer than ${MAX_ID_BYTES} bytes`
    : undefined;
}

/** Whether a value is a text of 1 to 255 bytes of well-formed UTF-8. */
export const isId = (value: unknown): value is string =>
  typeof value === 'string' && idFault(value) === undefined;

/**
 * Checks an id in a request: opaque, 1 to 255 bytes of UTF-8.
 *
 * @param what its name in the error
 * @throws 400 `M_INVALID_PARAM`
 */
export function checkId(what: string, id: string): string {
  const fault = idFault(id);
  if (fault !== undefined) throw invalidParameter(`${what} ${fault}.`);
  return id;
}
