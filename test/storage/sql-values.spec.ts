/** Proves that a value is read back from a statement as it was put there, whatever it holds, and however the connection reads text. */
import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { dialectOf } from '../../src/room-keys/storage/database/dialects.js';
import {
  type DatabaseName,
  databases,
  serverDatabases,
  type TestDatabase,
  TYPES,
} from '../support/databases.js';

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

/** How the sessions are set in which it is tried, and the bytes of a text there. */
interface Sessions {
  options: readonly object[];
  utf8: (text: string) => string;
  /** What a text has to do without. */
  missing?: RegExp;
}

const mysqlSessions: Sessions = {
  options: ['utf8mb4', 'latin1', 'gbk', 'sjis'].map((charset) => ({ charset })),
  utf8: (text) => `CAST(CONVERT(${text} USING utf8mb4) AS BINARY)`,
};
const SESSIONS: Record<DatabaseName, Sessions> = {
  SQLite: { options: [{}], utf8: (text) => `CAST(${text} AS BLOB)` },
  MariaDB: mysqlSessions,
  MySQL: mysqlSessions,
  PostgreSQL: {
    options: [
      '-c client_encoding=UTF8',
      '-c client_encoding=SJIS -c bytea_output=escape',
      '-c client_encoding=LATIN1 -c standard_conforming_strings=off -c escape_string_warning=off',
      '-c client_encoding=GBK -c standard_conforming_strings=off -c backslash_quote=off',
    ].map((options) => ({ extra: { options } })),
    utf8: (text) => `convert_to(${text}, 'UTF8')`,
    // text cannot hold it, and JSON has it as an escape only
    missing: /\0/g,
  },
};

describe.each(databases)('a value in a statement on $name', ({ name, create }) => {
  const dialect = dialectOf(TYPES[name]);
  const { options, utf8, missing = /(?!)/ } = SESSIONS[name];
  let database: TestDatabase;

  beforeAll(async () => {
    database = await create();
  });
  afterAll(() => database.drop());

  it.each(options)('is what it was, in a session with %j', async (more) => {
    const dataSource = await new DataSource({
      ...database.dataSourceOptions,
      ...more,
    }).initialize();
    try {
      await fc.assert(
        fc.asyncProperty(
          strings,
          fc.maxSafeInteger(),
          fc.uint8Array(),
          async (id, integer, bytes) => {
            const text = id.replace(missing, '');
            const values = dialect.values();
            const sql = `SELECT ${utf8(values.ascii(text))} AS t, ${values.bytesOf(id)} AS u,
            ${values.integer(integer)} AS i, ${values.hex(Buffer.from(bytes).toString('hex'))} AS b, 'last' AS l`;
            const [row] = await dataSource.query<Record<string, unknown>[]>(sql, values.parameters);
            expect({ ...row, i: Number(row?.i) }).toEqual({
              t: Buffer.from(text),
              u: Buffer.from(id),
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

describe.each(serverDatabases)('a number in a statement on $name', ({ name }) => {
  it('is a whole one', () => {
    const values = dialectOf(TYPES[name]).values();
    for (const wrong of [NaN, 0.5, 2 ** 53, Infinity, '1; DROP TABLE keys' as unknown as number]) {
      expect(() => values.integer(wrong)).toThrow(TypeError);
    }
  });
});
