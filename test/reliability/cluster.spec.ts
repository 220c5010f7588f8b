/**
 * Proves, for some seconds, that nothing is lost in a database of several nodes that all take writes:
 * users' devices meet on different nodes, transactions commit at the same moment, a node lags behind,
 * and a node dies. cluster.reliability-spec.ts goes on for longer.
 */
import { describeCluster } from './cluster.suite.js';
import { galera } from './galera.js';
import { knobs } from './knobs.js';

describeCluster(galera, {
  seed: knobs.seed,
  rounds: 1,
  requests: 150,
  reads: 20,
  kills: 1,
  minutes: 1,
});
