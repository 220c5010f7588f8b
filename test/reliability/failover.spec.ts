/**
 * Proves, for some seconds, that nothing is lost when the standby of a PostgreSQL replaces its primary, and
 * that nothing is answered from a standby. failover.reliability-spec.ts goes on for longer.
 */
import { describeFailover } from './failover.suite.js';
import { knobs } from './knobs.js';

describeFailover({ seed: knobs.seed, failovers: 2, minutes: 1 });
