/** Proves that rows which a COPY brings are all of them and as they were sent, or a failure: none gets lost. */
import type { PoolClient } from 'pg';
import { canCopy, copiedRows } from './postgres-copy.js';

const SHAPE = { integers: 2, others: 2 };

const int = (value: number, bytes: number) => {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) buffer.writeBigInt64BE(BigInt(value));
  else buffer.writeIntBE(value, 0, bytes);
  return buffer;
};
const values = (...all: (Buffer | null)[]) =>
  Buffer.concat([
    int(all.length, 2),
    ...all.flatMap((value) => (value ? [int(value.length, 4), value] : [int(-1, 4)])),
  ]);
const row = (one: number, other: number, id: string, data: string) =>
  values(int(one, 8), int(other, 2), Buffer.from(id), Buffer.from(data));

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const END = int(-1, 2);
const MOST = Number.MAX_SAFE_INTEGER;
const ROWS = [row(MOST, 1, 'id\0', '{}'), row(2 ** 32, 0, '한', 'x'.repeat(500_000))];

interface Copy {
  submit(connection: { query(sql: string): void }): void;
  handleCopyData(message: { chunk: Buffer }): void;
  handleReadyForQuery(): void;
  handleError(error: Error): void;
}

/** What becomes of the pieces that a server sends, in memory that is overwritten as pg does. */
function received(pieces: Buffer[], error?: Error) {
  const sent: string[] = [];
  const client = {
    query: (copy: Copy) => {
      copy.submit({ query: (sql) => sent.push(sql) });
      for (const piece of pieces) {
        const chunk = Buffer.from(piece);
        copy.handleCopyData({ chunk });
        chunk.fill(0xff);
      }
      if (error) copy.handleError(error);
      else copy.handleReadyForQuery();
    },
  };
  const rows = copiedRows(client as unknown as PoolClient, 'SELECT 1', SHAPE);
  return { rows, sent };
}

describe('the rows of a COPY', () => {
  it.each([
    ['a header with the first row', [Buffer.concat([HEADER, ROWS[0]!]), ROWS[1]!, END]],
    ['each in a piece of its own', [HEADER, ...ROWS, END]],
    ['all in one piece', [Buffer.concat([HEADER, ...ROWS, END])]],
  ])('are as they were sent: %s', async (_, pieces) => {
    const { rows, sent } = received(pieces);
    const found = await rows;
    expect(sent).toEqual(['COPY (SELECT 1) TO STDOUT (FORMAT binary)']);
    expect(found.length).toBe(2);
    expect([found.integer(0, 0), found.integer(0, 1)]).toEqual([MOST, 1]);
    expect([found.integer(1, 0), found.integer(1, 1)]).toEqual([2 ** 32, 0]);
    expect([found.text(0, 0), found.text(0, 1), found.text(1, 0)]).toEqual(['id\0', '{}', '한']);
    expect(found.byteLength(1, 1)).toBe(500_000);
  });

  it('may be none', async () => {
    expect((await received([HEADER, END]).rows).length).toBe(0);
  });

  it.each([
    ['the end is missing', [HEADER, ...ROWS]],
    ['nothing came', []],
    ['it is not binary', [Buffer.from('1\t2\tid\t{}\n'), END]],
    ['a row is cut off', [HEADER, ROWS[0]!.subarray(0, -1), END]],
    ['a number is cut off', [HEADER, ROWS[0]!.subarray(0, 8), END]],
    ['a value is NULL', [HEADER, values(int(1, 8), int(1, 2), Buffer.from('id'), null), END]],
  ])('are a failure where %s', async (_, pieces) => {
    await expect(received(pieces).rows).rejects.toThrow();
  });

  it('are the failure that the server reports', async () => {
    const error = new Error('canceling statement');
    await expect(received([HEADER, ROWS[0]!], error).rows).rejects.toBe(error);
  });

  it('are not asked of a client that cannot bring them', () => {
    const clients = [{}, { pipeline: false }, { pipeline: true }, { native: {} }];
    expect(clients.map((client) => canCopy(client as unknown as PoolClient))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
