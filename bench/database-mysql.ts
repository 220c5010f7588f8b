import mysql from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2/promise';
import type { BenchDatabase } from './database.js';
import { cpuOfPrograms } from './processor-time.js';
import { MysqlFloor } from './floor-mysql.js';
import { waitingDeletions } from './waiting-deletions.js';

/** @param server of MySQL or MariaDB */
export async function createMysqlDatabase(server: URL, name: string): Promise<BenchDatabase> {
  const admin = new URL(server);
  admin.protocol = 'mysql:';
  admin.pathname = '/';
  const query = async (sql: string) => {
    const connection = await mysql.createConnection(admin.href);
    try {
      const [rows] = await connection.query<RowDataPacket[]>(sql);
      return rows;
    } finally {
      await connection.end();
    }
  };
  await query(`DROP DATABASE IF EXISTS ${name}`);
  await query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  const [row] = await query('SELECT VERSION() AS version');
  const version = String(row?.version);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const driverUrl = new URL(admin);
  driverUrl.pathname = `/${name}`;
  return {
    description: `${/mariadb/i.test(version) ? 'MariaDB' : 'MySQL'} ${version.split('-')[0] ?? ''}`,
    url: url.href,
    floor: (through = driverUrl) => {
      const by = new URL(through);
      by.protocol = 'mysql:';
      return MysqlFloor.create(by.href);
    },
    cpuMs: () => cpuOfPrograms(['mysqld', 'mariadbd']),
    isSwept: async () => {
      const [waiting] = await query(waitingDeletions(`${name}.`));
      return Number(waiting?.waiting) === 0;
    },
    bytesOfKeys: async () => {
      await query(`ANALYZE TABLE ${name}.room_keys_keys`);
      const [size] = await query(
        `SELECT data_length AS data, index_length AS ix FROM information_schema.tables
         WHERE table_schema = '${name}' AND table_name = 'room_keys_keys'`,
      );
      return { data: Number(size?.data), index: Number(size?.ix) };
    },
    drop: async () => {
      await query(`DROP DATABASE ${name}`);
    },
  };
}
