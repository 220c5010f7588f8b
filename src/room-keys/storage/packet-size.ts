import type { DataSource, QueryRunner } from 'typeorm';
import { familyOf } from './database-family.js';
import { rows } from './rows.js';

/** No server has a `max_allowed_packet` that this, each character escaped, would not fit in. */
export const SMALL_VALUE = 256 * 1024;
/** What a statement holds beside its largest value. */
export const STATEMENT_MARGIN = 64 * 1024;

const known = new WeakMap<DataSource, number>();

/**
 * None, or 1 the first time on MySQL and MariaDB: how many bytes a statement may have. One that has more
 * would end the connection, and look like a database that is away.
 */
export async function maxAllowedPacket(runner: QueryRunner): Promise<number> {
  const { dataSource } = runner;
  if (familyOf(dataSource.options.type) === 'sqlite') return Infinity;
  let bytes = known.get(dataSource);
  if (bytes === undefined) {
    const [row] = await rows(runner, 'SELECT @@max_allowed_packet AS bytes', []);
    known.set(dataSource, (bytes = Number(row?.bytes)));
  }
  return bytes;
}
