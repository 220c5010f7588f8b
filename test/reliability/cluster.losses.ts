import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';
import type { ClusterExtent, ClusterUnderTest } from './cluster.suite.js';
import { inspectRows } from './stored-rows.js';
import { Uploads } from './uploads.js';

/** Seconds of silence after which a node is taken for dead here. */
const SUSPECT_AFTER_S = 10;

/** Nodes that die, and come back. */
export function describeClusterLosses(
  test: Pick<ClusterUnderTest, 'cluster' | 'servers' | 'dataSources'>,
  { kills, minutes, report }: Pick<ClusterExtent, 'kills' | 'minutes' | 'report'>,
): void {
  describe('of which one is away', () => {
    // else nothing would be stored for so long after each kill
    beforeAll(() => test.cluster.suspectAfter(SUSPECT_AFTER_S));
    afterAll(() => test.cluster.suspectLate());

    it('what was acknowledged is there when a node was killed and is back', async () => {
      const clients = test.servers.map(({ url }) => new MatrixClient(url, 'alice'));
      const uploads = new Uploads(clients, await clients[0]!.createBackup());
      const deadline = Date.now() + minutes * 60_000;
      let killed = 0;
      while (killed < kills && Date.now() < deadline) {
        await uploads.goOn();
        const node = await test.cluster.victim(killed);
        await node.kill();
        killed += 1;
        await uploads.goOn();
        await node.start();
      }
      await uploads.goOn();
      await uploads.end();
      for (const node of test.cluster.nodes) await node.synced();

      await uploads.prove();
      const found = await Promise.all(test.dataSources.map(inspectRows));
      expect(found[0]?.faults).toEqual([]);
      for (const other of found) expect(other).toEqual(found[0]);
      report?.(
        `${killed} times a node was killed under load and came back: ${uploads.figures}, longest pause of successful uploads ${uploads.longestPause().toFixed(1)} s`,
      );
    });
  });
}

/** A server whose own node takes no statements. */
export function describeExclusion(test: ClusterUnderTest): void {
  it('requests are answered 503 while the node of their server takes no statements, and served again afterwards', async () => {
    const alice = new MatrixClient(test.direct[1]!.url, 'alice');
    const version = await alice.createBackup();
    const put = () =>
      alice.put(`/keys?version=${version}`, roomsBody([['!r:hs1', 's', keyData()]]));
    await test.cluster.excluded(test.cluster.nodes[1]!, async () => {
      for (const answer of [await put(), await alice.get('/version')]) {
        expect(answer.status).toBe(503);
        expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
        expect(answer.body.errcode).toBe('M_UNKNOWN');
      }
      expect((await fetch(`${test.direct[1]!.url}/health/ready`)).status).toBe(503);
    });
    expect((await put()).body).toEqual({ count: 1, etag: '1' });
  });
}
