/** Proves for minutes what cluster.spec.ts proves for seconds, and tells what it came to. */
import { describeCluster } from './cluster.suite.js';
import { galera } from './galera.js';
import { knobs } from './knobs.js';

describeCluster(galera, {
  seed: knobs.seed,
  rounds: Infinity,
  requests: 500,
  reads: 1000,
  kills: Infinity,
  minutes: knobs.minutes,
  report: (text) => process.stdout.write(`cluster, ${text}\n`),
});
