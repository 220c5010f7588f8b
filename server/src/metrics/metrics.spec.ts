/** Proves how each event of the module changes the metrics, and that the number of labels is bounded. */
import type { RoomKeysRequestEvent } from 'nestjs-room-keys/operations';
import { Metrics } from './metrics.js';

const REQUEST: RoomKeysRequestEvent = {
  type: 'request',
  operation: 'putRoomKeys',
  method: 'PUT',
  prefix: 'v3',
  status: 200,
  durationMs: 120,
  requestBytes: 1000,
  responseBytes: 20,
  userId: '@alice:hs1',
  aborted: false,
};

let metrics: Metrics;

beforeEach(() => {
  metrics = new Metrics();
});

const text = () => metrics.registry.metrics();

describe('the metrics', () => {
  it('are in seconds', async () => {
    metrics.observe(REQUEST);
    metrics.tokens.checked('known', 30);
    expect(await text()).toContain(
      'room_keys_request_duration_seconds_sum{operation="putRoomKeys",status="200"} 0.12\n',
    );
    expect(await text()).toContain(
      'room_keys_verifier_duration_seconds_sum{outcome="known"} 0.03\n',
    );
  });

  it('count who left, before an answer began and after', async () => {
    metrics.observe({ ...REQUEST, status: undefined, aborted: true });
    metrics.observe({ ...REQUEST, operation: 'getRoomKeys', aborted: true });
    const all = await text();
    expect(all).toContain(
      'room_keys_request_duration_seconds_count{operation="putRoomKeys",status="left"} 1\n',
    );
    expect(all).toContain(
      'room_keys_request_duration_seconds_count{operation="getRoomKeys",status="200"} 1\n',
    );
    expect(all).toContain('room_keys_requests_aborted_total{operation="putRoomKeys"} 1\n');
    expect(all).toContain('room_keys_requests_aborted_total{operation="getRoomKeys"} 1\n');
  });

  it('do not tell methods, prefixes and users apart', async () => {
    metrics.observe(REQUEST);
    const before = (await text()).split('\n').length;
    metrics.observe({ ...REQUEST, method: 'BREW', prefix: 'r0', userId: '@bob:hs1' });
    expect((await text()).split('\n')).toHaveLength(before);
  });

  it('count conflicts by the code of the database', async () => {
    const conflict = { type: 'conflict', code: 'ER_LOCK_DEADLOCK', attempt: 1 } as const;
    metrics.observe({ ...conflict, gaveUp: false });
    metrics.observe({ ...conflict, gaveUp: false });
    metrics.observe({ ...conflict, gaveUp: true });
    const all = await text();
    expect(all).toContain(
      'room_keys_conflicts_total{code="ER_LOCK_DEADLOCK",result="retried"} 2\n',
    );
    expect(all).toContain(
      'room_keys_conflicts_total{code="ER_LOCK_DEADLOCK",result="given_up"} 1\n',
    );
  });

  it('have the age of what waits to be swept grow until it is gone', async () => {
    const sweep = {
      type: 'sweep',
      rows: 0,
      sets: 0,
      rooms: 0,
      durationMs: 5,
      failure: 'X',
    } as const;
    const age = async () =>
      Number(/^room_keys_sweep_oldest_seconds (\S+)$/m.exec(await text())?.[1]);
    expect(await age()).toBe(0);
    metrics.observe({ ...sweep, backlog: 3, oldestMs: 60_000 });
    expect(await age()).toBeGreaterThanOrEqual(60);
    // could not be found out: what was known still holds
    metrics.observe({ ...sweep, backlog: undefined, oldestMs: undefined });
    expect(await age()).toBeGreaterThanOrEqual(60);
    metrics.observe({ ...sweep, backlog: 0, oldestMs: 0, failure: undefined });
    expect(await age()).toBe(0);
  });

  it('count token checks that run, wait and are refused', async () => {
    metrics.tokens.queueChanged(32, 500);
    metrics.tokens.checkRefused('address');
    metrics.tokens.checkRefused('process');
    metrics.tokens.queueChanged(31, 0);
    const all = await text();
    for (const line of [
      'room_keys_verifier_checks{state="under_way"} 31',
      'room_keys_verifier_checks{state="waiting"} 0',
      'room_keys_verifier_checks_refused_total{limit="address"} 1',
      'room_keys_verifier_checks_refused_total{limit="process"} 1',
    ])
      expect(all).toContain(`${line}\n`);
  });

  it('begin at nought where all values of a label are known', async () => {
    const all = await text();
    for (const line of [
      'room_keys_uploaded_keys_total{result="added"} 0',
      'room_keys_token_checks_total{outcome="failed"} 0',
      'room_keys_token_cache_lookups_total{result="hit"} 0',
      'room_keys_verifier_checks{state="waiting"} 0',
      'room_keys_verifier_checks_refused_total{limit="address"} 0',
      'room_keys_sweeps_total{result="failed"} 0',
      'room_keys_conflicts_total{code="ER_LOCK_DEADLOCK",result="given_up"} 0',
      'room_keys_conflicts_total{code="SQLITE_BUSY",result="retried"} 0',
    ])
      expect(all).toContain(`${line}\n`);
  });
});
