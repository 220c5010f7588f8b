import { DataSource, type DataSourceOptions } from 'typeorm';
import { roomKeysEntities } from '../../src/index.js';
import { causalReads } from '../../src/room-keys/storage/database/mysql-settings.js';
import { build } from '../../server/test/operating/server-process.js';
import { serverProgram } from '../../server/test/proxy/processes.js';
import { describeClusterConflicts } from './cluster.conflicts.js';
import { describeClusterLosses, describeExclusion } from './cluster.losses.js';
import { describeClusterReads } from './cluster.reads.js';
import { devicesAtWork, USERS } from './concurrency.suite.js';
import type { DatabaseCluster } from './database-cluster.js';
import { startHaproxy } from './haproxy.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { Wire } from './wire.js';

export interface ClusterExtent {
  seed: number;
  /** Rounds of the eight devices, unless the time is over before. */
  rounds: number;
  requests: number;
  /** How often something is made through one node and read through another. */
  reads: number;
  /** How often a node is killed, unless the time is over before. */
  kills: number;
  /** For each of the parts. */
  minutes: number;
  /** Receives the result of each part. */
  report?: (text: string) => void;
}

/** In what clusters differ. */
export interface ClusterKind {
  /** Such as "a Galera cluster of three nodes that all take writes". */
  name: string;
  type: 'mariadb' | 'mysql';
  /** Undefined where this machine lacks something. */
  start: (() => Promise<DatabaseCluster>) | undefined;
  /** The configuration of HAProxy, in docs/proxies. */
  proxy: string;
  /** The session variable that has reads wait for other nodes, and its value. */
  waits: { name: string; value: string };
  /** The code of a transaction that gave way to one of another node. */
  conflict: RegExp;
}

/** What the parts of the suite share. */
export interface ClusterUnderTest {
  kind: ClusterKind;
  cluster: DatabaseCluster;
  /** Of each node, reading causally. */
  dataSources: DataSource[];
  /** Two servers, each statement of which any node may be asked. */
  servers: RestartableServer[];
  wires: Wire[];
  /** One server of each of the first two nodes. */
  direct: RestartableServer[];
  directWires: Wire[];
  options: (at: string) => DataSourceOptions;
}

export const DATABASE = 'room_keys';
export const OTHERS = ['carol', 'dave', 'erin', 'frank'];

/** A cluster of three nodes that all take writes, and servers that may ask any of them. */
export function describeCluster(
  kind: ClusterKind,
  extent: ClusterExtent,
  more?: (test: ClusterUnderTest) => void,
): void {
  const haproxy = kind.start && serverProgram('haproxy', 'haproxy');
  const describeIf = kind.start ? describe : describe.skip;

  describeIf(kind.name, () => {
    const test: ClusterUnderTest = {
      kind,
      cluster: undefined as unknown as DatabaseCluster,
      dataSources: [],
      servers: [],
      wires: [],
      direct: [],
      directWires: [],
      options: (at) => ({
        type: kind.type,
        url: `mysql://room_keys@${at}/${DATABASE}`,
        entities: roomKeysEntities(kind.type),
      }),
    };
    let balancer: { at: string; stop: () => Promise<void> } | undefined;

    beforeAll(async () => {
      await build();
      test.cluster = await kind.start!();
      const { nodes } = test.cluster;
      await nodes[0]!.connected((connection) => connection.query(`CREATE DATABASE ${DATABASE}`));
      balancer = haproxy ? await startHaproxy(haproxy, kind.proxy, test.cluster) : undefined;
      const server = (at: string) =>
        new RestartableServer({
          DATABASE_URL: `${kind.type}://room_keys@${at}/${DATABASE}`,
          DEV_TOKENS: tokensOf([...USERS, ...OTHERS]),
        }).start();
      // at once, through several nodes: one of them makes the tables
      const ats = nodes.slice(0, 2).map(({ at }) => at);
      [test.servers, test.direct] = await Promise.all([
        Promise.all(ats.map((at) => server(balancer?.at ?? at))),
        Promise.all(ats.map(server)),
      ]);
      test.wires = test.servers.map(({ url }) => new Wire(url));
      test.directWires = test.direct.map(({ url }) => new Wire(url));
      for (const { at } of nodes) {
        const dataSource = await new DataSource(test.options(at)).initialize();
        expect(await causalReads(dataSource)).toBe(true);
        test.dataSources.push(dataSource);
      }
    });
    afterAll(async () => {
      for (const wire of [...test.wires, ...test.directWires]) wire.close();
      await Promise.all([...test.servers, ...test.direct].map((server) => server.stop()));
      await Promise.all(test.dataSources.map((dataSource) => dataSource.destroy()));
      await balancer?.stop();
      await test.cluster.stop();
    });

    it('makes its tables once, however many servers start at once through different nodes', async () => {
      for (const dataSource of test.dataSources) {
        const rows = await dataSource.query<{ name: string }[]>('SELECT name FROM migrations');
        expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
      }
    });

    it('answers eight devices as if one request came after the other, whichever nodes they meet on', async () => {
      const { servers, wires, dataSources } = test;
      const told = await devicesAtWork(extent, servers, wires, dataSources);
      extent.report?.(`${kind.name}${balancer ? ' behind HAProxy' : ''}: ${told}`);
    });

    describeClusterConflicts(test);
    describeClusterReads(test, extent);
    describeClusterLosses(test, extent);
    describeExclusion(test);
    more?.(test);
  });
}
