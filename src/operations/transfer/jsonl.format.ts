import { createReadStream } from 'node:fs';
import { SourceError, type SourceKey } from './backup-source.js';

// One JSON document per line, in this order: the header; for each user a line, then for each of the user's backups a
// line, its keys, and a line that ends it; at last the end of the file.

/** Is incremented when earlier versions could not read the file. */
export const FORMAT_VERSION = 1;

interface HeaderLine {
  type: 'nestjs-room-keys';
  format: number;
}

export interface UserLine {
  type: 'user';
  user_id: string;
  /** The highest version that was ever given out: those up to it without a line are deleted, unless they are reserved. */
  last_version: number;
  /** Versions that were never imported and are not deleted. Left out where there are none. */
  reserved_versions?: number[];
  /** The same, in files of earlier versions. */
  withheld_versions?: number[];
}

export interface BackupLine {
  type: 'backup';
  version: number;
  algorithm: string;
  /** JSON text, character for character as the client sent it. */
  auth_data: string;
  etag: number;
  count: number;
  /** Milliseconds since 1970. */
  created_at: number;
  changed_at: number;
}

/** `session_data` is JSON text, character for character as the client sent it. */
interface KeyLine extends SourceKey {
  type: 'key';
}

interface BackupEndLine {
  type: 'backup_end';
  count: number;
  /** See {@link KeysChecksum}. */
  checksum: string;
}

interface EndLine {
  type: 'end';
  users: number;
  backups: number;
  keys: number;
}

export type Line = HeaderLine | UserLine | BackupLine | KeyLine | BackupEndLine | EndLine;

/** See {@link UserLine.reserved_versions}. */
export const reservedVersions = ({ reserved_versions, withheld_versions }: UserLine): number[] =>
  reserved_versions ?? withheld_versions ?? [];

const MAX_LINE_BYTES = 128 * 1024 * 1024;

/** A line of a file, and where in the file it begins. */
interface LineAt {
  line: Line;
  at: number;
}

/** @throws SourceError */
export async function readLine(file: string, at: number): Promise<Line> {
  for await (const { line } of readLines(file, at)) return line;
  throw new SourceError('The file was changed while it was read. Run the import again.');
}

/** @throws SourceError */
export async function* readLines(file: string, from: number): AsyncGenerator<LineAt> {
  const stream = createReadStream(file, { start: from, highWaterMark: 256 * 1024 });
  let at = from;
  let parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        parts.push(chunk.subarray(start, end));
        length += end - start;
        yield { line: parse(Buffer.concat(parts)), at };
        at += length + 1;
        parts = [];
        length = 0;
        start = end + 1;
      }
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > MAX_LINE_BYTES) throw new SourceError('The file has a line of over 128 MiB.');
    }
    if (length > 0) throw new SourceError(TRUNCATED);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof SourceError || code === undefined) throw error;
    throw new SourceError(`The file cannot be read (${code}). Check the path.`, { cause: error });
  } finally {
    stream.destroy();
  }
}

export const TRUNCATED = 'The file is truncated. Nothing was imported.';

function parse(bytes: Buffer): Line {
  try {
    const line: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof line === 'object' && line !== null) return line as Line;
  } catch {
    // V8's own message quotes the line
  }
  throw new SourceError('The file has a line that is not a JSON object. Nothing was imported.');
}
