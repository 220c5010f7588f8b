/** Proves for minutes what concurrency.spec.ts proves for seconds, and tells how many requests it were. */
import { describeConcurrency } from './concurrency.suite.js';
import { knobs } from './knobs.js';

describeConcurrency({
  seed: knobs.seed,
  rounds: Infinity,
  requests: 500,
  minutes: knobs.minutes,
  servers: 3,
  report: (text) => process.stdout.write(`concurrency, ${text}\n`),
});
