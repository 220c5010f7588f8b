import { jest } from '@jest/globals';
import { startApplication, type TestApplication } from '../support/application.js';
import type { TestDatabase } from '../support/databases.js';
import {
  type Answer,
  keyData,
  keyPath,
  type MatrixClient,
  roomsBody,
} from '../support/matrix-client.js';
import { type PostgresPair, urlOf } from './postgres-pair.js';
import { startSwitch, type Switch } from './switch.js';

/** A commit that waits for the standby. */
const WAITS_FOR_STANDBY =
  "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'room_keys'";

const INFORMATION = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };

/** What a host's connections meet that lead to a standby, or to a primary that was away. */
export function describeStandby(pair: () => PostgresPair): void {
  describe('a host whose connections lead', () => {
    let application: TestApplication | undefined;
    let line: Switch | undefined;

    const start = (options: object) =>
      startApplication({ dataSourceOptions: { type: 'postgres', ...options } } as TestDatabase);

    beforeAll(async () => {
      line = await startSwitch(pair().primary.at);
      application = await start({ url: urlOf(line.at) });
    });
    afterAll(async () => {
      await application?.close();
      await line?.close();
    });

    const leadTo = ({ at }: { at: string }) => {
      line!.endAll();
      line!.to(at);
    };
    beforeEach(() => {
      leadTo(pair().primary);
    });

    /** The first answer that is not 503: a request may meet a connection that was just ended. */
    const served = async (call: () => Promise<Answer>) => {
      for (;;) {
        const answer = await call();
        if (answer.status !== 503) return answer;
      }
    };
    const newUser = async (name: string): Promise<MatrixClient> => {
      const user = application!.client(name);
      await served(() => user.get('/version'));
      expect(await user.createBackup()).toBe('1');
      return user;
    };
    const upload = (user: MatrixClient, id: string) =>
      user.put('/keys?version=1', roomsBody([['!r:hs1', id, keyData()]]));
    const expectUnavailable = ({ status, headers, body }: Answer) => {
      expect({ status, body }).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
      expect(headers.get('retry-after')).toMatch(/^\d+$/);
    };

    /** Uploads a key while the standby is away, again where the answer is 503, until it waits for the standby. */
    const uploadAlone = async (user: MatrixClient, id: string, node = pair().primary) => {
      for (;;) {
        const answer = upload(user, id);
        const outcome = await Promise.race([
          answer.then(({ status }) => status),
          node.until(WAITS_FOR_STANDBY).then(() => 'waits'),
        ]);
        if (outcome !== 503) return { isAcknowledged: outcome === 200, answer };
      }
    };

    it('to a standby: it reads and stores nothing, says 503, and heals when they lead to the primary', async () => {
      const alice = await newUser('standby-alice');
      expect((await upload(alice, 's')).status).toBe(200);
      leadTo(pair().standby);
      for (let n = 0; n < 3; n += 1) {
        expectUnavailable(await alice.get('/version'));
        expectUnavailable(await alice.get('/keys?version=1'));
        expectUnavailable(await alice.get(`${keyPath('!r:hs1', 's')}?version=1`));
        // it is there already, as far as the standby knows
        expectUnavailable(await upload(alice, 's'));
        expectUnavailable(await upload(alice, 's2'));
        expectUnavailable(await alice.post('/version', INFORMATION));
        expectUnavailable(await alice.delete('/version/1'));
      }
      // those that are open still lead to the standby
      line!.to(pair().primary.at);
      expect((await upload(alice, 's2')).body).toEqual({ count: 2, etag: '2' });
      expect((await alice.get('/version')).body).toMatchObject({ version: '1', count: 2 });
    });

    it('to a standby at its start: it does not start, and says why', async () => {
      const starting = start({ url: urlOf(pair().standby.at) });
      starting.then(({ close }) => close()).catch(() => undefined);
      await expect(starting).rejects.toThrow(/is a standby.*Connect to the primary/);
    });

    it('to a primary that did not wait for its standby: the upload is not acknowledged', async () => {
      const alice = await newUser('standby-bob');
      await pair().standby.shutDown();
      const { answer } = await uploadAlone(alice, 's');
      // as an operator does who sees what hangs
      await pair().primary.query(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      expectUnavailable(await answer);
      // it is stored there all the same, and is not acknowledged before the standby has it
      const { isAcknowledged, answer: again } = await uploadAlone(alice, 's');
      await pair().standby.start();
      expect(isAcknowledged).toBe(false);
      expect((await again).body).toEqual({ count: 1, etag: '1' });
    });

    it('to a primary that was away: it acknowledges nothing that the standby lacks', async () => {
      const alice = await newUser('standby-carol');
      await pair().standby.shutDown();
      const { answer } = await uploadAlone(alice, 's');
      // when it is back it shows what was stored, although no standby has it
      await pair().primary.kill();
      expectUnavailable(await answer);
      await pair().primary.start();
      const { isAcknowledged, answer: again } = await uploadAlone(alice, 's');
      await pair().primary.kill();
      await again;
      await pair().standby.start();
      await pair().promoteStandby();
      leadTo(pair().primary);
      const key = `${keyPath('!r:hs1', 's')}?version=1`;
      const { status } = await served(() => alice.get(key));
      expect({ isAcknowledged, status }).toEqual({ isAcknowledged: false, status: 404 });
      await pair().rejoin('kill -9');
      expect((await upload(alice, 's')).body).toEqual({ count: 1, etag: '1' });
    });

    it('to an old primary that still runs: it acknowledges nothing', async () => {
      const alice = await newUser('standby-erin');
      expect((await upload(alice, 's')).status).toBe(200);
      const old = pair().primary;
      old.signal('SIGSTOP');
      await pair().promoteStandby();
      old.signal('SIGCONT');
      const { isAcknowledged, answer } = await uploadAlone(alice, 's2', old);
      await old.kill();
      await answer;
      await pair().rejoin('kill -9');
      leadTo(pair().primary);
      const keys = await served(() => alice.get('/keys?version=1'));
      expect({ isAcknowledged, keys: keys.body as object }).toEqual({
        isAcknowledged: false,
        keys: roomsBody([['!r:hs1', 's', keyData()]]),
      });
    });

    it('to a standby too, for reads of its own: all operations are answered by the primary', async () => {
      await pair().synchronous();
      const replicated = await start({
        replication: {
          master: { url: urlOf(pair().primary.at) },
          slaves: [{ url: urlOf(pair().standby.at) }],
        },
      });
      const { driver } = replicated.dataSource as unknown as {
        driver: { obtainSlaveConnection: () => Promise<unknown> };
      };
      const asked = jest.spyOn(driver, 'obtainSlaveConnection');
      // it receives all, and shows nothing of it
      await pair().standby.query('SELECT pg_wal_replay_pause()');
      try {
        const alice = replicated.client('standby-dave');
        expect(await alice.createBackup()).toBe('1');
        const all = roomsBody(
          Array.from({ length: 1000 }, (_, n) => [`!r${n % 5}:hs1`, `s${n}`, keyData()] as const),
        );
        expect((await alice.put('/keys?version=1', all)).body).toEqual({ count: 1000, etag: '1' });
        expect((await alice.get('/version')).body).toMatchObject({ version: '1', count: 1000 });
        expect((await alice.get('/keys?version=1')).body).toEqual(all);
        const one = `${keyPath('!r0:hs1', 's0')}?version=1`;
        expect((await alice.delete(one)).body).toEqual({ count: 999, etag: '2' });
        expect((await alice.get(one)).status).toBe(404);
        expect((await alice.delete('/version/1')).status).toBe(200);
        expect((await alice.get('/version')).status).toBe(404);
        expect(asked).not.toHaveBeenCalled();
      } finally {
        await pair().standby.query('SELECT pg_wal_replay_resume()');
        await replicated.close();
      }
    });
  });
}
