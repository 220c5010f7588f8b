import { DataSource } from 'typeorm';
import { build } from '../../server/test/operating/server-process.js';
import { serverProgram } from '../../server/test/proxy/processes.js';
import { MatrixClient } from '../support/matrix-client.js';
import { Crowd } from './crowd.js';
import { describeStandby } from './failover.standby.js';
import {
  type Fate,
  FATES,
  PostgresPair,
  postgresPrograms,
  startPostgresHaproxy,
  urlOf,
} from './postgres-pair.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { inspectRows } from './stored-rows.js';
import { Uploads } from './uploads.js';

interface Extent {
  seed: number;
  /** How often a standby replaces its primary in each part, unless time runs out. */
  failovers: number;
  /** For each part. */
  minutes: number;
  /** Receives the result of each part. */
  report?: (text: string) => void;
}

/** A primary of PostgreSQL that is lost under load, again and again, and its standby, which takes its place. */
export function describeFailover(extent: Extent): void {
  const programs = postgresPrograms();
  const haproxy = programs && serverProgram('haproxy', 'haproxy');
  const describeIf = haproxy ? describe : describe.skip;

  describeIf('a primary of PostgreSQL and its standby', () => {
    let pair: PostgresPair;
    let balancer: { at: string; stop: () => Promise<void> } | undefined;

    const onPrimary = async <T>(work: (dataSource: DataSource) => Promise<T>): Promise<T> => {
      const options = { type: 'postgres', url: urlOf(pair.primary.at) } as const;
      const dataSource = await new DataSource(options).initialize();
      try {
        return await work(dataSource);
      } finally {
        await dataSource.destroy();
      }
    };
    const fates = function* (): Generator<Fate> {
      const deadline = Date.now() + extent.minutes * 60_000;
      for (let n = 0; n < extent.failovers && Date.now() < deadline; n += 1)
        yield FATES[n % FATES.length]!;
    };

    beforeAll(async () => {
      await build();
      pair = await PostgresPair.start(programs!);
      balancer = await startPostgresHaproxy(haproxy!, pair);
    });
    afterAll(async () => {
      await balancer?.stop();
      await pair.stop();
    });

    describe('behind HAProxy, under two servers that get uploads all the time', () => {
      let servers: RestartableServer[] = [];

      beforeAll(async () => {
        const variables = { DATABASE_URL: urlOf(balancer!.at), DEV_TOKENS: tokensOf(['carol']) };
        servers = await Promise.all([1, 2].map(() => new RestartableServer(variables).start()));
      });
      afterAll(() => Promise.all(servers.map((server) => server.stop())));

      /** Has a user's devices upload during `work`. */
      const underLoad = async (work: (uploads: Uploads) => Promise<void>) => {
        const processes = servers.map(({ pid }) => pid);
        const clients = servers.map(({ url }) => new MatrixClient(url, 'carol'));
        const version = await clients[0]!.createBackup();
        const uploads = new Uploads(clients, version);
        try {
          await work(uploads);
          await uploads.goOn();
        } finally {
          await uploads.end();
        }
        // an unexpected error has its stack in the log
        for (const { printed } of servers) expect(printed).not.toMatch(/^ +at /m);
        expect(servers.map(({ pid }) => pid)).toEqual(processes);
        expect((await onPrimary(inspectRows)).faults).toEqual([]);
        return uploads;
      };
      const report = (what: string, uploads: Uploads) =>
        extent.report?.(
          `${what}: ${uploads.figures}, longest pause of acknowledged uploads ${uploads.longestPause().toFixed(1)} s`,
        );

      it('loses nothing where commits wait for the standby, and each of the two is lost in turn', async () => {
        let failovers = 0;
        const uploads = await underLoad(async (running) => {
          for (const fate of fates()) {
            await running.goOn();
            await pair.failOver(fate);
            // nothing is acknowledged until the other one is back
            await pair.rejoin(fate);
            failovers += 1;
          }
        });
        await uploads.prove();
        report(`${failovers} failovers, commits wait for the standby`, uploads);
      });

      it('loses nothing where the new primary serves alone until the other one is back', async () => {
        let failovers = 0;
        const uploads = await underLoad(async (running) => {
          for (const fate of fates()) {
            await running.goOn();
            await pair.failOver(fate);
            await pair.asynchronous();
            await running.goOn();
            await pair.rejoin(fate);
            await pair.synchronous();
            failovers += 1;
          }
        });
        await uploads.prove();
        report(`${failovers} failovers, the new primary serves alone at first`, uploads);
      });

      it('answers nothing wrong where no commit waits, whatever that loses', async () => {
        let failovers = 0;
        const uploads = await underLoad(async (running) => {
          await pair.asynchronous();
          for (const fate of fates()) {
            await running.goOn();
            await pair.failOver(fate);
            await pair.rejoin(fate);
            failovers += 1;
          }
          await pair.synchronous();
        });
        await uploads.countLost();
        report(`${failovers} failovers, no commit waits`, uploads);
      });

      it('answers nothing wrong where no commit waits, and the standby was away meanwhile', async () => {
        const uploads = await underLoad(async (running) => {
          await pair.asynchronous();
          await running.goOn();
          await pair.standby.shutDown();
          await running.goOn();
          await pair.primary.kill();
          await pair.standby.start();
          await pair.promoteStandby();
          await pair.rejoin('kill -9');
          await pair.synchronous();
        });
        await uploads.countLost();
        report('no commit waits, and the standby was away for 100 uploads', uploads);
      });
    });

    it('answer devices that do whatever they can as if nothing had happened, but for 503', async () => {
      const crowd = await Crowd.on(urlOf(balancer!.at), 2, extent.seed);
      try {
        for (const fate of fates()) {
          crowd.begin();
          await crowd.after(10 + crowd.random.below(60));
          crowd.halt();
          crowd.tally.kills += 1;
          await pair.failOver(fate);
          await pair.rejoin(fate);
          const back = performance.now();
          for (const server of crowd.servers) await crowd.heals(server, back);
          await crowd.rest();
          for (const { failures } of crowd.users) {
            for (const { status, headers, text } of failures.splice(0)) {
              expect({ status, text }).toMatchObject({ status: 503 });
              expect(headers['retry-after']).toMatch(/^\d+$/);
            }
          }
          await onPrimary((dataSource) => crowd.prove(dataSource));
        }
        for (const { printed } of crowd.servers) expect(printed).not.toMatch(/^ +at /m);
        extent.report?.(`devices that do whatever they can: ${crowd.figures}`);
      } finally {
        await crowd.end();
      }
    });

    describeStandby(() => pair);
  });
}
