/**
 * Proves, for some seconds, that `kill -9` of a server or of a database in the middle of uploads, deletes
 * and sweeps costs nothing that was acknowledged, leaves nothing half-done, and needs no repair.
 * crashes.reliability-spec.ts goes on for longer.
 */
import { describeDatabaseKills, describeServerKills } from './crashes.suite.js';
import { knobs } from './knobs.js';

const extent = {
  seed: knobs.seed,
  serverKills: 1,
  databaseKills: 2,
  sweptKeys: 4000,
  sweepKills: 1,
};
describeServerKills(extent);
describeDatabaseKills(extent);
