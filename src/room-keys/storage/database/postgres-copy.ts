/** Reads rows as bytes. pg makes a string of each value of a SELECT, which took longer than all the rest of a restore. */
import type { Connection as PgConnection, PoolClient, Submittable } from 'pg';
import { ByteRows, type RawRows, type RowShape } from './raw-rows.js';

/** The rows of a SELECT, read by `COPY … TO STDOUT`. */
export function copiedRows(client: PoolClient, select: string, shape: RowShape): Promise<RawRows> {
  return new Promise((resolve, reject) => {
    const rows = new BinaryRows(shape);
    const copy = new CopyOut(`COPY (${select}) TO STDOUT (FORMAT binary)`, rows, (error) => {
      if (error) reject(error);
      else if (rows.fault) reject(rows.fault);
      else if (!rows.isWhole) reject(new Error('The rows of a COPY are not whole.'));
      else resolve(rows.rows);
    });
    client.query(copy);
  });
}

/** Whether the client takes a {@link CopyOut}: that of pg-native does not, nor one that pipelines its queries. */
export const canCopy = (client: PoolClient): boolean =>
  !('native' in client) && (client as { pipeline?: boolean }).pipeline !== true;

/** A query that pg hands on to what the server says of it, as it does for pg-cursor and pg-copy-streams. */
class CopyOut implements Submittable {
  /** @param callback called at the end; pg wraps it if the host set a timeout */
  constructor(
    private readonly sql: string,
    private readonly rows: BinaryRows,
    public callback: (error?: Error) => void,
  ) {}

  submit(connection: PgConnection): void {
    connection.query(this.sql);
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.rows.add(chunk);
  }

  handleCommandComplete(): void {
    // the server is ready only after it
  }

  handleReadyForQuery(): void {
    this.callback();
  }

  handleError(error: Error): void {
    this.callback(error);
  }
}

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** After the signature: flags, and the length of an extension that follows. */
const HEADER_BYTES = SIGNATURE.length + 8;
/** In place of the number of columns. */
const END = -1;

/** What comes in the binary format of COPY: a header, the rows, whole ones in each piece, and an end. */
class BinaryRows {
  readonly rows: ByteRows;
  isWhole = false;
  fault: Error | undefined;
  private hasBegun = false;

  constructor(shape: RowShape) {
    this.rows = new ByteRows(shape);
  }

  /** @param piece used at once: pg uses its memory again */
  add(piece: Buffer): void {
    if (this.fault) return;
    try {
      let at = this.hasBegun ? 0 : endOfHeader(piece);
      this.hasBegun = true;
      while (at < piece.length) at = this.addRow(piece, at);
    } catch (fault) {
      // pg would take it for a failure of the process
      this.fault = fault as Error;
    }
  }

  /** @throws RangeError where the piece ends within the row */
  private addRow(piece: Buffer, start: number): number {
    const columns = piece.readInt16BE(start);
    let at = start + 2;
    if (columns === END) this.isWhole = true;
    for (let n = 0; n < columns; n++) {
      const length = piece.readInt32BE(at);
      const end = at + 4 + length;
      if (length < 0 || end > piece.length) throw new RangeError('A value of a COPY is not whole.');
      if (this.rows.expectsInteger) this.rows.addInteger(integerAt(piece, at + 4, length));
      else this.rows.addBytes(piece.subarray(at + 4, end));
      at = end;
    }
    return at;
  }
}

function endOfHeader(piece: Buffer): number {
  if (!piece.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new Error('Not a binary COPY.');
  return HEADER_BYTES + piece.readInt32BE(HEADER_BYTES - 4);
}

const TWO_TO_THE_32 = 2 ** 32;

/** A number of type smallint, integer or bigint, up to 2^53. */
const integerAt = (bytes: Buffer, at: number, length: number): number =>
  length === 8
    ? bytes.readInt32BE(at) * TWO_TO_THE_32 + bytes.readUInt32BE(at + 4)
    : bytes.readIntBE(at, length);
