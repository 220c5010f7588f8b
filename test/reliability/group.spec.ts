/**
 * Proves, for some seconds, that nothing is lost in a MySQL group (Group Replication), with one primary and with
 * several. group.reliability-spec.ts goes on for longer.
 */
import { describeCluster } from './cluster.suite.js';
import { describeSinglePrimary } from './group.primary.js';
import { describeGroupStarts } from './group.starts.js';
import { multiPrimaryGroup } from './group.js';
import { knobs } from './knobs.js';

const extent = { seed: knobs.seed, rounds: 1, requests: 150, kills: 1, minutes: 1 };
describeCluster(multiPrimaryGroup, { ...extent, reads: 20 }, (test) => {
  describeGroupStarts(test, { starts: 1 });
});
describeSinglePrimary({ ...extent, switches: 1, partitions: 1 });
