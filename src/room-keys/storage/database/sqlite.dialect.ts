import { type Dialect, updateEach } from './dialect.js';
import { SqlValues } from './sql-values.js';
import { runSqliteMigrations } from './sqlite-migrations.js';
import { SqliteExecutor } from './sqlite.executor.js';

/** SQLite through better-sqlite3. */
export const sqliteDialect: Dialect = {
  id: 'sqlite',
  executor: (dataSource) => new SqliteExecutor(dataSource),

  runMigrations: runSqliteMigrations,
  limitLockWaits: () => undefined,
  connectionCounts: () => ({ used: 1, free: 0, waiting: 0, max: 1 }),

  // there are no round trips to save, and prepared statements are kept by their text
  rowsPerStatement: 100,
  worksElsewhere: false,
  connectionsOf: () => 1,

  columnTypes: {
    varbinary: 'blob',
    binary: 'blob',
    longtext: 'text',
    bigint: 'integer',
    tinyint: 'integer',
  },

  // a file that cannot be written to is found at the start
  checkWritable: () => Promise.resolve(),
  checkSettings: () => Promise.resolve(),

  values: () => new SqlValues(),
  quote: (name) => `\`${name}\``,
  table: (name) => `\`${name}\``,
  now: "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
  forUpdate: '',
  locksOneTable: false,
  greatest: (one, other) => `MAX(${one}, ${other})`,
  onConflict: (primaryKey) => `ON CONFLICT (${primaryKey}) DO UPDATE SET`,
  inserted: (column) => `excluded.${column}`,
  update: updateEach,
  skipExisting: 'ON CONFLICT DO NOTHING',
  returning: () => '',
  after: ({ roomNo, seq }) => ['(room_no, seq) > (?, ?)', [roomNo, seq]],
  inPrimaryKeyOrder: '',
  deleteSome: async (connection, { table, where, parameters }, limit) => {
    const { affected } = await connection.execute(
      `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE ${where} LIMIT ${limit})`,
      parameters,
    );
    return { rows: affected };
  },
  locksAreLocal: false,
};
