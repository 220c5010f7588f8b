import { InvalidArgumentError } from 'commander';
import { Failure } from './exit.js';

/** Reads an argument that is to be a full Matrix user id. */
export function userId(text: string): string {
  if (/^@[^:]*:./s.test(text) && Buffer.byteLength(text) <= 255) return text;
  throw new InvalidArgumentError("Use a full user id, for example '@alice:example.org'.");
}

/** The error of a command for a user of whom nothing is stored. */
export const unknownUser = (id: string): Failure =>
  new Failure(`The database has no backup of ${id}. Check the user id.`);
