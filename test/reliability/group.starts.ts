import type mysql from 'mysql2/promise';
import { roomKeysMigrations } from '../../src/index.js';
import { type ClusterUnderTest, DATABASE } from './cluster.suite.js';
import type { GroupMember } from './group.js';
import { RestartableServer, tokensOf } from './restartable-server.js';

/** Servers that are started at the same time, on a database without tables. */
export function describeGroupStarts(
  test: ClusterUnderTest,
  { starts, report }: { starts: number; report?: (text: string) => void },
): void {
  it.each([2, 4])(
    '%i servers that start at once through different members make the tables once, and harm none of them',
    async (count) => {
      for (let start = 1; start <= starts; start += 1) {
        const name = `${DATABASE}_${count}_${start}`;
        const members = test.cluster.nodes as GroupMember[];
        await members[0]!.connected((connection) => connection.query(`CREATE DATABASE ${name}`));
        const servers = await Promise.all(
          Array.from({ length: count }, (_, n) =>
            new RestartableServer({
              DATABASE_URL: `mysql://room_keys@${members[n % members.length]!.at}/${name}`,
              DEV_TOKENS: tokensOf(['alice']),
            }).start(),
          ),
        );
        await Promise.all(servers.map((server) => server.stop()));
        for (const member of members) {
          expect(await member.state()).toBe('ONLINE');
          const ran = await member.connected(async (connection) => {
            await connection.query("SET SESSION group_replication_consistency = 'BEFORE'");
            const [rows] = await connection.query<mysql.RowDataPacket[]>(
              `SELECT name FROM ${name}.migrations ORDER BY id`,
            );
            return rows.map((row) => row.name as string);
          });
          expect(ran).toEqual(roomKeysMigrations.map((migration) => migration.name));
        }
        await members[0]!.connected((connection) => connection.query(`DROP DATABASE ${name}`));
      }
      report?.(
        `${count} servers started at once on an empty group with several primaries, ${starts} times: tables made once each time, all members online`,
      );
    },
  );
}
