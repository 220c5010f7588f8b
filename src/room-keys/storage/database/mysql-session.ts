/** What the session of a connection is set to, and what has to be set otherwise while this module uses it. */
import type { PoolConnection } from 'mysql2';
import type { Row, TextLimits } from './connection.js';

export interface MysqlSession {
  textLimits: TextLimits;
  /** Whether a transaction is a consistent snapshot by default. */
  isRepeatableRead: boolean;
  /** Undefined for usual settings. */
  changes: SessionChanges | undefined;
  /** Those that can be changed in a transaction of the host: changing `autocommit` would commit it. */
  changesInTransaction: SessionChanges | undefined;
}

/** A statement before this module's first one, and another after its last one. */
interface SessionChanges {
  prepare: string;
  restore: string;
}

/** Beside its largest value, what a statement can hold. */
const STATEMENT_MARGIN = 64 * 1024;
/** Characters of one value per statement: bounds the memory and the time that its literal takes. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

/** As text, MariaDB has a word for it. */
const isOn = (value: unknown) => value === '1' || value === 'ON';

/** Session variables on which promises of this module would depend, and what they must be. */
const REQUIRED: readonly { name: string; isFine: (value: unknown) => boolean; value: string }[] = [
  // otherwise a read leaves a transaction open, and the next one sees an old state
  { name: 'autocommit', isFine: isOn, value: '1' },
  // otherwise a SELECT returns only so many rows
  {
    name: 'sql_select_limit',
    isFine: (value) => Number(value) >= Number.MAX_SAFE_INTEGER,
    value: '18446744073709551615',
  },
  // otherwise InnoDB need not look for a row with the same unique key
  { name: 'unique_checks', isFine: isOn, value: '1' },
  // otherwise the bytes of a text are not those that it was stored as
  {
    name: 'character_set_results',
    isFine: (value) => !['ucs2', 'utf16', 'utf16le', 'utf32'].includes(asText(value)),
    value: 'utf8mb4',
  },
];

/** The others have no effect on a transaction that has begun, or end it; what is joined reads with locks. */
const IN_TRANSACTION = ['sql_select_limit', 'unique_checks'];

/** Otherwise a read sees what may be rolled back, and an upload would be acknowledged for it. */
const UNCOMMITTED = 'READ-UNCOMMITTED';

const known = new WeakMap<PoolConnection, Promise<MysqlSession>>();

/**
 * 1 statement when a connection is first used, then none. A setting that is changed on the server later holds
 * for new connections, and is found there; literals, `COMMIT AND NO CHAIN` and the like hold in any session.
 */
export function mysqlSession(
  connection: PoolConnection,
  isolationVariable: string,
  rows: (sql: string) => Promise<Row[]>,
): Promise<MysqlSession> {
  let session = known.get(connection);
  if (!session) {
    session = read(isolationVariable, rows);
    session.catch(() => known.delete(connection));
    known.set(connection, session);
  }
  return session;
}

async function read(
  isolationVariable: string,
  rows: (sql: string) => Promise<Row[]>,
): Promise<MysqlSession> {
  const names = [...REQUIRED.map(({ name }) => name), 'max_allowed_packet'];
  const [row] = await rows(
    // as text, since the limit is more than a number can be
    `SELECT ${names.map((name) => `CONCAT(@@${name}) AS ${name}`).join(', ')},
       @@${isolationVariable} AS isolation LIMIT 1`,
  );
  if (!row) throw new Error('The database did not return the settings of the session.');
  const wrong = REQUIRED.filter(({ name, isFine }) => !isFine(row[name])).map(
    ({ name, value }) => ({ name, value, was: asText(row[name]) }),
  );
  if (row.isolation === UNCOMMITTED) {
    wrong.push({ name: isolationVariable, value: "'REPEATABLE-READ'", was: `'${UNCOMMITTED}'` });
  }
  const changesOf = (some: typeof wrong): SessionChanges | undefined => {
    if (some.length === 0) return undefined;
    const set = (to: 'value' | 'was') =>
      `SET SESSION ${some.map((one) => `${one.name} = ${one[to]}`).join(', ')}`;
    return { prepare: set('value'), restore: set('was') };
  };
  const perValue = Number(row.max_allowed_packet) - STATEMENT_MARGIN;
  return {
    textLimits: { perValue, perStatement: Math.min(MOST_CHARACTERS, Math.floor(perValue / 2)) },
    isRepeatableRead: ['REPEATABLE-READ', UNCOMMITTED].includes(asText(row.isolation)),
    changes: changesOf(wrong),
    changesInTransaction: changesOf(wrong.filter(({ name }) => IN_TRANSACTION.includes(name))),
  };
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : '');
