import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SourceError } from './backup-source.js';

/** Where the source was looked for. */
interface Address {
  host: string;
  port: number;
  user?: string | undefined;
  database?: string | undefined;
}

/** Why pg found no password; undefined for another failure. pg ignores a password file that others can read. */
export function passwordFailure(error: unknown, source: Address): SourceError | undefined {
  if (!/^SASL: .* client password must be/.test((error as Error).message)) return undefined;
  const { PGPASSFILE } = process.env;
  const file = PGPASSFILE ?? join(homedir(), '.pgpass');
  const found = statSync(file, { throwIfNoEntry: false });
  return new SourceError(reason(file, found, PGPASSFILE !== undefined, source), { cause: error });
}

function reason(
  file: string,
  found: { mode: number; isFile(): boolean } | undefined,
  isNamed: boolean,
  { host, port, user, database }: Address,
): string {
  if (found && (found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    return `The password file ${file} is ignored, because other users can read it (mode ${mode}). Run 'chmod 600 ${file}'.`;
  }
  if (found)
    return `The password file ${file} has no line for the source. Add '${host}:${port}:${database}:${user}:PASSWORD' to it.`;
  if (isNamed) return `The password file in PGPASSFILE, ${file}, does not exist. Check its path.`;
  return `The source requires a password, and none is set. Set PGPASSWORD, or PGPASSFILE to a file with the line '${host}:${port}:${database}:${user}:PASSWORD' and mode 0600.`;
}
