/** Proves for minutes what group.spec.ts proves for seconds, and tells what it came to. */
import { describeCluster } from './cluster.suite.js';
import { describeSinglePrimary } from './group.primary.js';
import { describeGroupStarts } from './group.starts.js';
import { multiPrimaryGroup } from './group.js';
import { knobs } from './knobs.js';

const report = (text: string) => {
  process.stdout.write(`group, ${text}\n`);
};
const extent = {
  seed: knobs.seed,
  rounds: Infinity,
  requests: 500,
  kills: knobs.databaseKills,
  // kills take half a minute each
  minutes: knobs.minutes,
  report,
};
describeCluster(multiPrimaryGroup, { ...extent, reads: 450 }, (test) => {
  describeGroupStarts(test, { starts: 10, report });
});
describeSinglePrimary({ ...extent, switches: 10, partitions: 3 });
