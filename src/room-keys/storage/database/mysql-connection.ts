import type { PoolConnection, QueryOptions, ResultSetHeader } from 'mysql2';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Row, SqlValue, TextLimits, Written } from './connection.js';
import { mysqlCode } from './errors.js';
import { asFailedQuery, LentConnection } from './lent-connection.js';
import { closeIdle, discard } from './mysql-pool.js';
import { type MysqlSession, mysqlSession } from './mysql-session.js';
import { type RawRows, type RowShape, ValueRows } from './raw-rows.js';
import { mysqlSyntax } from './sql-values.js';

/** A connection of mysql2. */
export class MysqlConnection extends LentConnection {
  private settings: MysqlSession | undefined;
  private changes: MysqlSession['changes'];

  constructor(
    dataSource: DataSource,
    runner: QueryRunner,
    timeoutMs: number,
    private readonly connection: PoolConnection,
  ) {
    super(dataSource, runner, timeoutMs, mysqlSyntax);
    this.defers = connection.config.multipleStatements ? 'begin' : 'nothing';
  }

  /**
   * BEGIN where the host's DataSource has `multipleStatements`, and never more. With all statements of an upload in
   * two messages, acknowledged keys were lost when a node of a Galera cluster was killed (`reliability/cluster`):
   * presumably Galera rolls a transaction back between two statements of a message, and the rest of it, with COMMIT,
   * runs all the same. After BEGIN alone there is nothing to roll back.
   */
  protected readonly defers: 'nothing' | 'begin';

  readonly readsAreConfirmed = true;

  get textLimits(): TextLimits {
    return this.session.textLimits;
  }

  /** Finds out what its session is set to, and sets what has to be otherwise: in the host's transaction less. */
  async prepare(isolationVariable: string, isJoined: boolean): Promise<void> {
    this.settings = await mysqlSession(this.connection, isolationVariable, (sql) =>
      this.quietRows(sql),
    );
    this.changes = isJoined ? this.session.changesInTransaction : this.session.changes;
    if (this.changes !== undefined) await this.answer(this.changes.prepare);
  }

  async rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    return this.send<Row[]>(sql, parameters);
  }

  async rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows> {
    const rows = await this.send(sql, parameters, (text) => this.ask(text, 1, true));
    return new ValueRows(rows as (number | string | Buffer)[][], shape);
  }

  async execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written> {
    const { affectedRows, insertId } = await this.send<ResultSetHeader>(sql, parameters);
    return { affected: affectedRows, insertId };
  }

  beginToWrite(): Promise<void> {
    return this.begin('START TRANSACTION READ WRITE', true);
  }

  async beginSnapshot(): Promise<void> {
    if (!this.session.isRepeatableRead) {
      await this.execute('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    }
    await this.begin('START TRANSACTION READ ONLY', false);
  }

  async commit(): Promise<void> {
    // whatever the completion_type of the session is
    await this.end('COMMIT AND NO CHAIN NO RELEASE');
  }

  protected sendRollBack(): Promise<unknown> {
    return this.send('ROLLBACK AND NO CHAIN NO RELEASE');
  }

  protected override async restore(): Promise<void> {
    if (this.changes === undefined) return;
    await this.answer(this.changes.restore).catch(() => {
      this.discard();
    });
  }

  protected close(error?: Error): void {
    discard(this.connection, error);
    // where one leads nowhere, so will those that nothing uses: each would cost a request its time limit
    if (error) closeIdle(this.dataSource);
  }

  protected ask(message: string, statements: number, rowsAsArray = false): Promise<unknown> {
    const { typeCast } = this.connection.config;
    const options: QueryOptions & { values: null } = {
      sql: message,
      // Without values the driver looks for no placeholders: it would go through all keys of an upload.
      values: null,
      // whatever the host has set for its own statements
      namedPlaceholders: false,
      rowsAsArray,
      nestTables: false,
      ...(typeCast === undefined || typeCast === true
        ? {}
        : { typeCast: (_field, next) => next() }),
    };
    return new Promise((resolve, reject) => {
      this.connection.query(options, (error, result) => {
        if (!error) {
          // of several statements there are as many results
          resolve(statements > 1 ? (result as unknown[]).at(-1) : result);
          return;
        }
        const code = mysqlCode(error);
        reject(code === undefined ? error : Object.assign(error, { code }));
      });
    });
  }

  /** Known once it is prepared. */
  private get session(): MysqlSession {
    if (!this.settings) throw new Error('The connection is not prepared.');
    return this.settings;
  }

  /** Rows of a statement that belongs to no operation, and that the host's log does not show. */
  private async quietRows(sql: string): Promise<Row[]> {
    try {
      return await this.answer<Row[]>(sql);
    } catch (error) {
      throw asFailedQuery(error as Error, sql);
    }
  }
}
