import { setTimeout as sleep } from 'node:timers/promises';
import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';
import type { ClusterExtent, ClusterUnderTest } from './cluster.suite.js';
import { inspectRows } from './stored-rows.js';

const UPLOADERS = 4;
/** Answers 200 that each uploader has before a node is killed, and before it comes back. */
const UPLOADS_BETWEEN = 25;
/** Seconds of silence after which a node is taken for dead here. */
const SUSPECT_AFTER_S = 10;

/** Nodes that die, and come back. */
export function describeClusterLosses(
  test: ClusterUnderTest,
  { kills, minutes, report }: ClusterExtent,
): void {
  describe('of which one is away', () => {
    // else nothing would be stored for so long after each kill
    beforeAll(() => test.cluster.suspectAfter(SUSPECT_AFTER_S));
    afterAll(() => test.cluster.suspectLate());

    it('what was acknowledged is there when a node was killed and is back', async () => {
      const clients = test.servers.map(({ url }) => new MatrixClient(url, 'alice'));
      const version = await clients[0]!.createBackup();
      const acknowledged = new Set<string>();
      const statuses = new Map<number, number>();
      let successes = 0;
      let lastSuccess = performance.now();
      let longestPause = 0;
      const over = new AbortController();

      const uploader = async (name: number) => {
        for (let n = 0; !over.signal.aborted; n += 1) {
          const id = `session-${name}-${n}`;
          const body = roomsBody([[`!room${name}:hs1`, id, keyData()]]);
          for (;;) {
            const client = clients[(name + n) % clients.length]!;
            const { status } = await client.put(`/keys?version=${version}`, body);
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            if (status === 200) break;
            // a client waits for as long as it is told; this one is in a hurry
            await sleep(50);
          }
          const now = performance.now();
          longestPause = Math.max(longestPause, now - lastSuccess);
          lastSuccess = now;
          successes += 1;
          acknowledged.add(id);
        }
      };
      const uploads = async () => {
        const goal = successes + UPLOADERS * UPLOADS_BETWEEN;
        while (successes < goal && !over.signal.aborted) await sleep(20);
      };

      const uploading = Promise.all(Array.from({ length: UPLOADERS }, (_, n) => uploader(n)));
      // one that fails ends all of it
      uploading.catch(() => {
        over.abort();
      });
      const deadline = Date.now() + minutes * 60_000;
      let killed = 0;
      while (killed < kills && Date.now() < deadline && !over.signal.aborted) {
        const node = test.cluster.nodes[killed % test.cluster.nodes.length]!;
        await uploads();
        await node.kill();
        killed += 1;
        await uploads();
        await node.start();
      }
      await uploads();
      over.abort();
      await uploading;
      for (const node of test.cluster.nodes) await node.synced();

      const { body, status } = await clients[1]!.get(`/keys?version=${version}`);
      expect(status).toBe(200);
      const stored = Object.values(
        (body as { rooms: Record<string, { sessions: object }> }).rooms,
      ).flatMap(({ sessions }) => Object.keys(sessions));
      expect(new Set(stored)).toEqual(acknowledged);
      expect(stored).toHaveLength(acknowledged.size);
      expect([...statuses.keys()].filter((one) => one !== 200 && one !== 503)).toEqual([]);
      const found = await Promise.all(test.dataSources.map(inspectRows));
      expect(found[0]?.faults).toEqual([]);
      for (const other of found) expect(other).toEqual(found[0]);
      report?.(
        `${killed} times a node was killed under load and came back: ${acknowledged.size} keys acknowledged, lost: 0, answers ${[...statuses].map(([one, count]) => `${one} ${count} times`).join(', ')}, longest pause of successful uploads ${(longestPause / 1000).toFixed(1)} s`,
      );
    });

    it('its requests are answered 503 while its node takes no statements, and served again afterwards', async () => {
      const alice = new MatrixClient(test.direct[1]!.url, 'alice');
      const version = await alice.createBackup();
      const put = () =>
        alice.put(`/keys?version=${version}`, roomsBody([['!r:hs1', 's', keyData()]]));
      const node = test.cluster.nodes[1]!;
      await node.connected(async (connection) => {
        // what a node says that lacks the majority: 1047
        await connection.query('SET GLOBAL wsrep_reject_queries = ALL');
        for (const answer of [await put(), await alice.get('/version')]) {
          expect(answer.status).toBe(503);
          expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
          expect(answer.body.errcode).toBe('M_UNKNOWN');
        }
        expect((await fetch(`${test.direct[1]!.url}/health/ready`)).status).toBe(503);
        await connection.query('SET GLOBAL wsrep_reject_queries = NONE');
      });
      expect((await put()).body).toEqual({ count: 1, etag: '1' });
    });
  });
}
