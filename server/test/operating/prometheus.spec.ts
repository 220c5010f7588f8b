/**
 * Proves with a real Prometheus, which reads a server at work and a database that goes away, that
 * each query of the dashboard returns something, and that the alerts are seen.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { serverProgram } from '../proxy/processes.js';
import type { FakeService } from '../../../test/homeserver/fake-service.js';
import { dashboardQueries } from './monitoring.files.js';
import { Population, startHomeserver } from './population.js';
import { PrometheusServer } from './prometheus-server.js';
import { build, ServerProcess } from './server-process.js';

/** These have no series before the first one, and none was made here. */
const MAYBE_EMPTY = ['Conflicts in the database', 'Starts', 'Rate limited', 'Aborted'];

const program = serverProgram('prometheus', 'prometheus');
const { create } = databases.at(-1)!;

(program === undefined ? describe.skip : describe)('a real Prometheus', () => {
  let database: TestDatabase;
  let homeserver: FakeService;
  let server: ServerProcess;
  let prometheus: PrometheusServer;

  beforeAll(async () => {
    await build();
    database = await create();
    homeserver = await startHomeserver();
    server = new ServerProcess({ DATABASE_URL: database.url, HOMESERVER_URL: homeserver.url });
    const { metrics } = await server.serving();
    prometheus = await PrometheusServer.start(program ?? '', new URL(metrics).host, 1);
  });
  afterAll(async () => {
    await prometheus.stop();
    await server.stop();
    await homeserver.close();
    await database.drop();
  });

  /** Asks again until it is so: it reads once a second. */
  const eventually = async <T>(call: () => Promise<T>, isSo: (answer: T) => boolean) => {
    for (;;) {
      const answer = await call();
      if (isSo(answer)) return answer;
      await sleep(100);
    }
  };

  it('has something for each query of the dashboard', async () => {
    const { url } = await server.serving();
    const population = new Population(url);
    population.begin(6, 40);
    try {
      for (const { where, expr } of dashboardQueries) {
        if (MAYBE_EMPTY.includes(where)) await prometheus.query(expr);
        else
          await eventually(
            () => prometheus.query(expr),
            ({ length }) => length > 0,
          );
      }
    } finally {
      await population.end();
    }
  });

  it('sees that the homeserver is away', async () => {
    const answering = homeserver.answer;
    homeserver.answer = (response) => response.writeHead(500).end();
    const active = await eventually(
      () => prometheus.alerts(),
      (alerts) => alerts.some(({ labels }) => labels.alertname === 'RoomKeysHomeserverAway'),
    );
    // it is pending before it fires
    expect(active.map(({ state }) => state)).toContain('pending');
    homeserver.answer = answering;
    await eventually(
      () => prometheus.alerts(),
      (alerts) => alerts.every(({ labels }) => labels.alertname !== 'RoomKeysHomeserverAway'),
    );
  });
});
