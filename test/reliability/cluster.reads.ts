import { DataSource } from 'typeorm';
import { causalReads } from '../../src/index.js';
import { StorageCheck } from '../../src/room-keys/storage/storage-check.js';
import { keyData, keyPath, MatrixClient } from '../support/matrix-client.js';
import type { ClusterExtent, ClusterUnderTest } from './cluster.suite.js';

/** What is read or deleted through one node right after it was stored through another. */
export function describeClusterReads(
  test: ClusterUnderTest,
  { reads, report }: ClusterExtent,
): void {
  describe('whose nodes lag behind each other', () => {
    const client = (server: number, user: string) =>
      new MatrixClient(test.direct[server]!.url, user);

    /** While `work` begins, the second node applies nothing; it goes on when `work` has been asked for. */
    const whileItLags = async <T>(work: () => Promise<T>): Promise<T> => {
      const node = test.cluster.nodes[1]!;
      return node.connected(async (connection) => {
        await connection.query('FLUSH TABLES WITH READ LOCK');
        const running = work();
        await connection.query('DO SLEEP(0.5)');
        await connection.query('UNLOCK TABLES');
        return running;
      });
    };

    it('a backup that was just made through one node is there on another', async () => {
      const [here, there] = [client(0, 'carol'), client(1, 'carol')];
      const { status, version } = await whileItLags(async () => {
        const version = await here.createBackup();
        return { version, status: (await there.get(`/version/${version}`)).status };
      });
      expect(status).toBe(200);
      expect((await there.get('/version')).body).toMatchObject({ version });
    });

    it('whatever was made through one node is found, and deleted, through another at once', async () => {
      const others = [client(0, 'erin'), client(0, 'frank')];
      for (const other of others) await other.createBackup();
      const [here, there] = [client(0, 'carol'), client(1, 'carol')];
      let isOver = false;
      const rest = others.map(async (other, n) => {
        for (let key = 0; !isOver; key += 1) {
          await other.put(`${keyPath(`!r${n}:hs1`, `s${key}`)}?version=1`, keyData());
        }
      });
      const begun = Date.now();
      try {
        for (let n = 0; n < reads; n += 1) await thereAndBack(here, there);
      } finally {
        isOver = true;
        await Promise.all(rest);
      }
      report?.(
        `${reads} backups made and deleted through one node and read through another, ${reads} keys stored through one and deleted through another: all as they were, ${Math.round((Date.now() - begun) / reads)} ms for each pair`,
      );
    });

    const thereAndBack = async (here: MatrixClient, there: MatrixClient) => {
      const version = await here.createBackup();
      expect((await there.get(`/version/${version}`)).status).toBe(200);
      const key = `${keyPath('!r:hs1', 's')}?version=${version}`;
      expect((await here.put(key, keyData())).body).toEqual({ count: 1, etag: '1' });
      expect((await there.delete(key)).body).toEqual({ count: 0, etag: '2' });
      expect((await here.delete(`/version/${version}`)).status).toBe(200);
      expect((await there.get(`/version/${version}`)).status).toBe(404);
    };

    it('a host whose connections do not wait for other nodes is told at its start', async () => {
      const dataSource = await new DataSource(test.options(test.cluster.nodes[0]!.at)).initialize();
      const check = new StorageCheck(dataSource);
      await expect(check.onApplicationBootstrap()).rejects.toThrow(/wsrep_sync_wait=1/);
      expect(await causalReads(dataSource)).toBe(true);
      await expect(check.onApplicationBootstrap()).resolves.toBeUndefined();
      // each of them, also those that are opened later
      const waits = await Promise.all(
        Array.from({ length: 5 }, () =>
          dataSource.query<{ waits: string }[]>('SELECT @@wsrep_sync_wait AS waits, SLEEP(0.05)'),
        ),
      );
      expect(waits.map(([row]) => row?.waits)).toEqual(['1', '1', '1', '1', '1']);
      await dataSource.destroy();
    });
  });
}
