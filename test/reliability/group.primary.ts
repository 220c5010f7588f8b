import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { roomKeysEntities } from '../../src/index.js';
import { onEachConnection } from '../../src/room-keys/storage/database/mysql-pool.js';
import { build } from '../../server/test/operating/server-process.js';
import { serverProgram } from '../../server/test/proxy/processes.js';
import { MatrixClient } from '../support/matrix-client.js';
import { describeClusterLosses } from './cluster.losses.js';
import { type ClusterExtent, DATABASE } from './cluster.suite.js';
import { devicesAtWork, USERS } from './concurrency.suite.js';
import { type MysqlGroup, startGroup } from './group.js';
import { startHaproxy } from './haproxy.js';
import { NetworkLab } from './network-lab.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { inspectRows } from './stored-rows.js';
import { Uploads } from './uploads.js';
import { Wire } from './wire.js';

/** More connections than there are members. */
const CONNECTIONS = 6;

export interface PrimaryExtent extends Omit<ClusterExtent, 'reads'> {
  /** How often another member becomes the primary, as planned. */
  switches: number;
  /** How often the primary is cut off from the others. */
  partitions: number;
}

/** A group of which one member takes writes, and servers that reach it through HAProxy. */
export function describeSinglePrimary(extent: PrimaryExtent): void {
  const { report } = extent;
  const haproxy = startGroup && serverProgram('haproxy', 'haproxy');
  const describeIf = haproxy ? describe : describe.skip;

  describeIf('a MySQL group of three members with one primary, behind HAProxy', () => {
    const lab = haproxy ? NetworkLab.create(3) : undefined;
    const test = {
      cluster: undefined as unknown as MysqlGroup,
      servers: [] as RestartableServer[],
      wires: [] as Wire[],
      dataSources: [] as DataSource[],
    };
    let balancer: { at: string; stop: () => Promise<void> } | undefined;

    beforeAll(async () => {
      await build();
      const cluster = (test.cluster = await startGroup!({ primaries: 'one', lab }));
      const [primary] = await cluster.primaries();
      await primary!.connected((connection) => connection.query(`CREATE DATABASE ${DATABASE}`));
      const { at } = (balancer = await startHaproxy(
        haproxy!,
        'haproxy-group-replication.cfg',
        cluster,
      ));
      // until its first checks are through, it takes each member for one that is up
      // and ends the connections to those that are not
      while (!(await takesWrites(at).catch(() => false))) await sleep(50);
      const variables = {
        DATABASE_URL: `mysql://room_keys@${at}/${DATABASE}`,
        DEV_TOKENS: tokensOf(USERS),
      };
      test.servers = await Promise.all([1, 2].map(() => new RestartableServer(variables).start()));
      test.wires = test.servers.map(({ url }) => new Wire(url));
      for (const node of cluster.nodes) {
        const dataSource = await new DataSource({
          type: 'mysql',
          url: `mysql://room_keys@${node.at}/${DATABASE}`,
          entities: roomKeysEntities('mysql'),
        }).initialize();
        // the servers never read from a secondary; here its rows are held against those of the others
        onEachConnection(dataSource, "SET SESSION group_replication_consistency = 'BEFORE'");
        test.dataSources.push(dataSource);
      }
    });
    afterAll(async () => {
      for (const wire of test.wires) wire.close();
      await Promise.all(test.servers.map((server) => server.stop()));
      await Promise.all(test.dataSources.map((dataSource) => dataSource.destroy()));
      await balancer?.stop();
      await test.cluster.stop();
      lab?.end();
    });

    /** What is stored, whatever happened, and through each member the same. */
    const prove = async (uploads: Uploads) => {
      await uploads.prove();
      const found = await Promise.all(test.dataSources.map(inspectRows));
      expect(found[0]?.faults).toEqual([]);
      for (const other of found) expect(other).toEqual(found[0]);
    };
    const uploading = async () => {
      const clients = test.servers.map(({ url }) => new MatrixClient(url, 'alice'));
      return new Uploads(clients, await clients[0]!.createBackup());
    };

    it('answers eight devices as if one request came after the other', async () => {
      const told = await devicesAtWork(extent, test.servers, test.wires, test.dataSources);
      report?.(`one primary behind HAProxy: ${told}`);
    });

    it('loses nothing when another member becomes the primary under load, as planned', async () => {
      const { cluster } = test;
      const uploads = await uploading();
      const pauses: number[] = [];
      for (let turn = 0; turn < extent.switches; turn += 1) {
        await uploads.goOn();
        uploads.longestPause();
        const [primary] = await cluster.primaries();
        const next = cluster.nodes[(cluster.nodes.indexOf(primary!) + 1) % cluster.nodes.length]!;
        await cluster.switchPrimary(next);
        await uploads.goOn();
        expect(await cluster.primaries()).toEqual([next]);
        pauses.push(uploads.longestPause());
      }
      await uploads.end();
      await prove(uploads);
      report?.(
        `one primary, ${extent.switches} planned switches under load: ${uploads.figures}, pauses of successful uploads ${pauses.map((one) => one.toFixed(1)).join(', ')} s`,
      );
    });

    describeClusterLosses(test, extent);

    const itIf = lab ? it : it.skip;
    itIf('loses nothing when the primary is cut off from the others, and comes back', async () => {
      const { cluster } = test;
      await cluster.suspectAfter(10);
      const uploads = await uploading();
      const pauses: number[] = [];
      for (let turn = 0; turn < extent.partitions; turn += 1) {
        await uploads.goOn();
        uploads.longestPause();
        const [primary] = await cluster.primaries();
        lab!.cutOff(primary!.number);
        await uploads.goOn();
        pauses.push(uploads.longestPause());
        // it takes no statements any more, and no HAProxy was needed for that
        expect(await primary!.state()).not.toBe('ONLINE');
        lab!.mend(primary!.number);
        await primary!.kill();
        await primary!.start();
      }
      await uploads.end();
      await prove(uploads);
      await cluster.suspectLate();
      report?.(
        `one primary, cut off from the others ${extent.partitions} times under load: ${uploads.figures}, pauses of successful uploads ${pauses.map((one) => one.toFixed(1)).join(', ')} s`,
      );
    });
  });
}

/** Whether each connection to a balancer leads to the primary. */
async function takesWrites(at: string): Promise<boolean> {
  for (let n = 0; n < CONNECTIONS; n += 1) {
    const connection = await mysql.createConnection(`mysql://room_keys@${at}/`);
    try {
      const [rows] = await connection.query<mysql.RowDataPacket[]>(
        'SELECT @@super_read_only AS it',
      );
      if (rows[0]?.it !== 0) return false;
    } finally {
      connection.destroy();
    }
  }
  return true;
}
