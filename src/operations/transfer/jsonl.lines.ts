import { createReadStream } from 'node:fs';
import type { Line } from './jsonl.format.js';
import { SourceError } from './backup-source.js';

const MAX_LINE_BYTES = 128 * 1024 * 1024;

/** A line of a file, and where in the file it begins. */
export interface LineAt {
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
