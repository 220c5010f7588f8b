import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { causalReads } from '../../src/room-keys/storage/database/mysql-settings.js';
import { StorageCheck } from '../../src/room-keys/storage/storage-check.js';
import { keyData, keyPath, MatrixClient } from '../support/matrix-client.js';
import type { ClusterExtent, ClusterUnderTest } from './cluster.suite.js';
import { runningStatements } from './database-cluster.js';

/** What is read or deleted through one node right after it was stored through another. */
export function describeClusterReads(
  test: ClusterUnderTest,
  { reads, report }: ClusterExtent,
): void {
  describe('whose nodes lag behind each other', () => {
    const client = (server: number, user: string) =>
      new MatrixClient(test.direct[server]!.url, user);

    /** The second node applies nothing of what `before` did until it has been asked for `work`, or has answered it. */
    const whileItLags = async <B, T>(
      before: () => Promise<B>,
      work: (before: B) => Promise<T>,
    ): Promise<T> => {
      const node = test.cluster.nodes[1]!;
      return node.connected(async (connection) => {
        await connection.query('FLUSH TABLES WITH READ LOCK');
        try {
          const answered = new AbortController();
          const running = work(await before()).finally(() => {
            answered.abort();
          });
          const isAsked = async () =>
            (await runningStatements(connection)).some((one) => one.includes('room_keys_backups'));
          while (!answered.signal.aborted && !(await isAsked())) await sleep(5);
          await connection.query('UNLOCK TABLES');
          return await running;
        } finally {
          await connection.query('UNLOCK TABLES');
        }
      });
    };

    it('a backup that was just made through one node is there on another', async () => {
      const [here, there] = [client(0, 'carol'), client(1, 'carol')];
      const { status, version } = await whileItLags(
        () => here.createBackup(),
        async (made) => ({ version: made, status: (await there.get(`/version/${made}`)).status }),
      );
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

    it('a host whose connections do not wait for other nodes gets an error at its start', async () => {
      const { name, value } = test.kind.waits;
      const dataSource = await new DataSource(test.options(test.cluster.nodes[0]!.at)).initialize();
      const check = new StorageCheck(dataSource);
      await expect(check.onApplicationBootstrap()).rejects.toThrow(`${name}=${value}`);
      expect(await causalReads(dataSource)).toBe(true);
      await expect(check.onApplicationBootstrap()).resolves.toBeUndefined();
      // each of them, also those that are opened later
      const waits = await Promise.all(
        Array.from({ length: 5 }, () =>
          dataSource.query<{ waits: string }[]>(`SELECT @@${name} AS waits, SLEEP(0.05)`),
        ),
      );
      expect(waits.map(([row]) => String(row?.waits))).toEqual(Array(5).fill(value));
      await dataSource.destroy();
    });
  });
}
