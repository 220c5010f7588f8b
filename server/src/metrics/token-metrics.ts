import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { RoomKeysTokenEvent } from 'nestjs-room-keys/operations';

/** The outcome of checking whose an access token is. */
export type TokenOutcome = RoomKeysTokenEvent['outcome'];

const TOKEN_OUTCOMES: readonly TokenOutcome[] = ['known', 'unknown', 'refused', 'failed'];

/** The metrics of access tokens and of their checks. */
export class TokenMetrics {
  private readonly outcomes;
  private readonly cacheLookups;
  private readonly checkDuration;
  private readonly checks;
  private readonly refusedChecks;

  constructor(registry: Registry) {
    const registers = [registry];
    this.outcomes = new Counter({
      name: 'room_keys_token_checks_total',
      help: 'Access tokens of requests, by outcome: known, unknown (401), refused (401 or 403), failed (could not be checked, 503 or 429).',
      labelNames: ['outcome'],
      registers,
    });
    this.cacheLookups = new Counter({
      name: 'room_keys_token_cache_lookups_total',
      help: 'Lookups in the cache of verified access tokens, by result: hit or miss.',
      labelNames: ['result'],
      registers,
    });
    this.checkDuration = new Histogram({
      name: 'room_keys_verifier_duration_seconds',
      help: 'Response time of the homeserver or the introspection endpoint.',
      labelNames: ['outcome'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    this.checks = new Gauge({
      name: 'room_keys_verifier_checks',
      help: 'Checks of access tokens: under_way at the homeserver or the introspection endpoint, or waiting for others to end.',
      labelNames: ['state'],
      registers,
    });
    this.refusedChecks = new Counter({
      name: 'room_keys_verifier_checks_refused_total',
      help: 'Checks of access tokens that were refused after waiting too long or with too many others: of one client address (429), or in the process (503).',
      labelNames: ['limit'],
      registers,
    });
    // from the start, so that the first increment is visible as a step from 0
    for (const outcome of TOKEN_OUTCOMES) this.outcomes.inc({ outcome }, 0);
    for (const result of ['hit', 'miss']) this.cacheLookups.inc({ result }, 0);
    for (const limit of ['address', 'process']) this.refusedChecks.inc({ limit }, 0);
    this.queueChanged(0, 0);
  }

  /** Counts the token of a request. */
  came(outcome: TokenOutcome): void {
    this.outcomes.inc({ outcome });
  }

  /** Counts a token that may have been in the cache. */
  lookedUp(hit: boolean): void {
    this.cacheLookups.inc({ result: hit ? 'hit' : 'miss' });
  }

  /** Counts a check by the service that knows tokens. */
  checked(outcome: TokenOutcome, durationMs: number): void {
    this.checkDuration.observe({ outcome }, durationMs / 1000);
  }

  /** Shows how many checks are made and wait. */
  queueChanged(underWay: number, waiting: number): void {
    this.checks.set({ state: 'under_way' }, underWay);
    this.checks.set({ state: 'waiting' }, waiting);
  }

  /** Counts a check that was not made. */
  checkRefused(limit: 'address' | 'process'): void {
    this.refusedChecks.inc({ limit });
  }
}
