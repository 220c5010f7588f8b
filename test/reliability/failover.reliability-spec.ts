/** Proves for minutes what failover.spec.ts proves for seconds, and tells what it came to. */
import { describeFailover } from './failover.suite.js';
import { knobs } from './knobs.js';

describeFailover({
  seed: knobs.seed,
  failovers: Infinity,
  minutes: knobs.minutes,
  report: (text) => process.stdout.write(`failover, ${text}\n`),
});
