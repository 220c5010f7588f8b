import { invalidParameter } from '../room-keys.errors.js';

const MAX_ID_BYTES = 255;

/**
 * Checks a room id or session id: opaque, 1 to 255 bytes of UTF-8.
 *
 * @param what how the error names it
 * @throws 400 `M_INVALID_PARAM`
 */
export function checkId(what: string, id: string): string {
  // A lone surrogate has no UTF-8: stored, two different ids would become one.
  if (!id.isWellFormed()) throw invalidParameter(`${what} is not valid Unicode.`);
  const size = Buffer.byteLength(id);
  if (size === 0) throw invalidParameter(`${what} is empty.`);
  if (size > MAX_ID_BYTES) throw invalidParameter(`${what} is longer than ${MAX_ID_BYTES} bytes.`);
  return id;
}
