import pg from 'pg';
import type { BenchDatabase } from './database.js';
import { PostgresFloor } from './floor-postgres.js';
import { cpuOfPrograms } from './processor-time.js';
import { waitingDeletions } from './waiting-deletions.js';

/** @param server of PostgreSQL; without a database in it, its `postgres` is where others are made */
export async function createPostgresDatabase(server: URL, name: string): Promise<BenchDatabase> {
  const admin = new URL(server);
  if (admin.pathname.length < 2) admin.pathname = '/postgres';
  const url = new URL(server);
  url.pathname = `/${name}`;
  const query = async (to: URL, sql: string) => {
    const client = new pg.Client(to.href);
    await client.connect();
    try {
      return (await client.query<Record<string, string>>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  await query(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await query(admin, `CREATE DATABASE ${name}`);
  const [row] = await query(admin, 'SHOW server_version');
  return {
    description: `PostgreSQL ${row?.server_version?.split(' ')[0] ?? ''}`,
    url: url.href,
    floor: (through = url) => PostgresFloor.create(through.href),
    cpuMs: () => cpuOfPrograms(['postgres']),
    isSwept: async () => {
      const [waiting] = await query(url, waitingDeletions());
      return Number(waiting?.waiting) === 0;
    },
    bytesOfKeys: async () => {
      const [size] = await query(
        url,
        "SELECT pg_table_size('room_keys_keys') AS data, pg_indexes_size('room_keys_keys') AS ix",
      );
      return { data: Number(size?.data), index: Number(size?.ix) };
    },
    drop: async () => {
      await query(admin, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
