/**
 * THE METRICS: every one of the server's own. Labels have few values, which are known beforehand: no
 * user, no room, no session, no address.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { type RoomKeysEvent } from 'nestjs-room-keys';
import { roomKeysConflictCodes } from 'nestjs-room-keys/operations';
import { version } from '../version.js';
import { type LookedUp, showLookedUp } from './looked-up-metrics.js';
import { TokenMetrics } from './token-metrics.js';

/** Label for requests of old or stray clients that are not one of the operations. */
const NO_OPERATION = 'none';
/** In place of a status: the client left before an answer had begun. */
const LEFT = 'left';

/** The metrics of one application, in a registry of their own. */
export class Metrics {
  readonly registry = new Registry();
  readonly tokens = new TokenMetrics(this.registry);
  private lookedUp: LookedUp | undefined;
  /** When the oldest of the deleted keys that are left was deleted, in milliseconds. */
  private oldestRetired: number | undefined;

  private readonly requests = new Histogram({
    name: 'room_keys_request_duration_seconds',
    help: 'Request duration, including streaming the response; a restore lasts as long as its client reads.',
    labelNames: ['operation', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [this.registry],
  });
  private readonly requestBytes = new Counter({
    name: 'room_keys_request_bytes_total',
    help: 'Size of request bodies in bytes, after decompression.',
    labelNames: ['operation'],
    registers: [this.registry],
  });
  private readonly responseBytes = new Counter({
    name: 'room_keys_response_bytes_total',
    help: 'Size of response bodies in bytes.',
    labelNames: ['operation'],
    registers: [this.registry],
  });
  private readonly aborted = new Counter({
    name: 'room_keys_requests_aborted_total',
    help: 'Requests whose connection was closed, by either side, before the response was complete.',
    labelNames: ['operation'],
    registers: [this.registry],
  });
  private readonly diskFull = new Counter({
    name: 'room_keys_disk_full_total',
    help: 'Requests answered 503 because the disk of the database is full.',
    registers: [this.registry],
  });
  private readonly keys = new Counter({
    name: 'room_keys_uploaded_keys_total',
    help: 'Keys in uploads: added, replaced (the stored key was worse), or kept (the stored key was as good or better).',
    labelNames: ['result'],
    registers: [this.registry],
  });
  private readonly conflicts = new Counter({
    name: 'room_keys_conflicts_total',
    help: 'Transactions that the database aborted because of a conflict, by its error code: retried, or given_up and answered 503.',
    labelNames: ['code', 'result'],
    registers: [this.registry],
  });
  private readonly sweeps = new Counter({
    name: 'room_keys_sweeps_total',
    help: 'Sweeps that remove rows of deleted keys: completed or failed.',
    labelNames: ['result'],
    registers: [this.registry],
  });
  private readonly sweptKeys = new Counter({
    name: 'room_keys_swept_keys_total',
    help: 'Rows of deleted keys that were removed.',
    registers: [this.registry],
  });
  private readonly backlog = new Gauge({
    name: 'room_keys_sweep_backlog',
    help: 'Deletions with rows that are still stored, in the whole database, after the last sweep.',
    aggregator: 'max',
    registers: [this.registry],
  });

  private readonly keptDeletions = new Gauge({
    name: 'room_keys_kept_deletions',
    help: 'Deletions that can be undone (KEEP_DELETED_DAYS), in the whole database, after the last sweep.',
    aggregator: 'max',
    registers: [this.registry],
  });
  private readonly keptKeys = new Gauge({
    name: 'room_keys_kept_keys',
    help: 'Deleted keys that can be restored, in the whole database, after the last sweep.',
    aggregator: 'max',
    registers: [this.registry],
  });
  private readonly changes = new Counter({
    name: 'room_keys_backup_changes_total',
    help: 'Changes to backups other than uploads: created, auth_data, keys_deleted, deleted, erased.',
    labelNames: ['change'],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    this.showBuild();
    this.showSweepAge();
    showLookedUp(this.registry, () => this.lookedUp);
    // from the start, so that the first one is seen as an increase from zero
    for (const result of ['added', 'replaced', 'kept']) this.keys.inc({ result }, 0);
    for (const code of roomKeysConflictCodes) {
      for (const result of ['retried', 'given_up']) this.conflicts.inc({ code, result }, 0);
    }
    for (const change of ['created', 'auth_data', 'keys_deleted', 'deleted', 'erased'])
      this.changes.inc({ change }, 0);
    for (const result of ['completed', 'failed']) this.sweeps.inc({ result }, 0);
  }

  /** Has the gauges that are looked up. */
  lookUp(lookedUp: LookedUp): void {
    this.lookedUp = lookedUp;
  }

  /** Counts the events of the module. */
  observe(event: RoomKeysEvent): void {
    switch (event.type) {
      case 'request': {
        const operation = event.operation ?? NO_OPERATION;
        const status = event.status ?? LEFT;
        this.requests.observe({ operation, status }, event.durationMs / 1000);
        this.requestBytes.inc({ operation }, event.requestBytes);
        this.responseBytes.inc({ operation }, event.responseBytes);
        if (event.aborted) this.aborted.inc({ operation });
        if (event.databaseFailure === 'disk-full') this.diskFull.inc();
        return;
      }
      case 'keys':
        this.keys.inc({ result: 'added' }, event.added);
        this.keys.inc({ result: 'replaced' }, event.replaced);
        this.keys.inc({ result: 'kept' }, event.kept);
        return;
      case 'backup':
        this.changes.inc({ change: event.what });
        return;
      case 'conflict':
        this.conflicts.inc({ code: event.code, result: event.gaveUp ? 'given_up' : 'retried' });
        return;
      case 'sweep':
        this.sweeps.inc({ result: event.failure === undefined ? 'completed' : 'failed' });
        this.sweptKeys.inc(event.rows);
        if (event.backlog === undefined || event.oldestMs === undefined) return;
        this.backlog.set(event.backlog);
        if (event.kept) {
          this.keptDeletions.set(event.kept.deletions);
          this.keptKeys.set(event.kept.keys);
        }
        this.oldestRetired = event.backlog === 0 ? undefined : Date.now() - event.oldestMs;
        return;
      case 'token':
        this.tokens.came(event.outcome);
        return;
    }
  }

  private showBuild(): void {
    new Gauge({
      name: 'room_keys_build_info',
      help: 'Always 1; the label has the version of the server.',
      labelNames: ['version'],
      aggregator: 'first',
      registers: [this.registry],
    }).set({ version }, 1);
  }

  private showSweepAge(): void {
    const age = () => (this.oldestRetired === undefined ? 0 : Date.now() - this.oldestRetired);
    new Gauge({
      name: 'room_keys_sweep_oldest_seconds',
      help: 'How long the oldest deletion of the backlog has waited; 0 if there is none.',
      aggregator: 'max',
      registers: [this.registry],
      collect() {
        this.set(age() / 1000);
      },
    });
  }
}
