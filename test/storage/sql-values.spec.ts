/** Proves that a value is read back from a statement as it was put there, whatever it holds, and however the connection reads text. */
import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { dialectOf } from '../../src/room-keys/storage/database/dialects.js';
import { databases, type TestDatabase } from '../support/databases.js';

const strings = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom("'", '\\', '"', '\0', '\n', '\x1a', '%', '_', '?', '`', ';', '--', '/*', 'a'),
    )
    .map((all) => all.join('')),
  fc.base64String(),
  // in these, a character of Big5, GBK or Shift JIS may hide a backslash or a quote
  fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
);

describe.each(databases)('a value in a statement on $name', ({ name, create }) => {
  const dialect = dialectOf(name === 'SQLite' ? 'better-sqlite3' : 'mysql');
  const charsets = dialect.id === 'sqlite' ? [undefined] : ['utf8mb4', 'latin1', 'gbk', 'sjis'];
  let database: TestDatabase;

  beforeAll(async () => {
    database = await create();
  });
  afterAll(() => database.drop());

  it.each(charsets)('is what it was, with the character set %s', async (charset) => {
    const dataSource = await new DataSource({
      ...database.dataSourceOptions,
      ...(charset === undefined ? {} : { charset }),
    }).initialize();
    const utf8 = (text: string) =>
      dialect.id === 'sqlite'
        ? `CAST(${text} AS BLOB)`
        : `CAST(CONVERT(${text} USING utf8mb4) AS BINARY)`;
    try {
      await fc.assert(
        fc.asyncProperty(
          strings,
          fc.maxSafeInteger(),
          fc.uint8Array(),
          async (text, integer, bytes) => {
            const values = dialect.values();
            const sql = `SELECT ${utf8(values.ascii(text))} AS t, ${values.bytesOf(text)} AS u,
            ${values.integer(integer)} AS i, ${values.hex(Buffer.from(bytes).toString('hex'))} AS b, 'last' AS l`;
            const [row] = await dataSource.query<Record<string, unknown>[]>(sql, values.parameters);
            expect({ ...row, i: Number(row?.i) }).toEqual({
              t: Buffer.from(text),
              u: Buffer.from(text),
              i: integer,
              b: Buffer.from(bytes),
              l: 'last',
            });
          },
        ),
        { numRuns: 300 },
      );
    } finally {
      await dataSource.destroy();
    }
  });
});

describe('a number in a statement', () => {
  it('is a whole one', () => {
    const values = dialectOf('mysql').values();
    for (const wrong of [NaN, 0.5, 2 ** 53, Infinity, '1; DROP TABLE keys' as unknown as number]) {
      expect(() => values.integer(wrong)).toThrow(TypeError);
    }
  });
});
