/** Proves for minutes what crashes.spec.ts proves for seconds, and tells what it came to. */
import { databases } from '../support/databases.js';
import { describeDatabaseKills, describeServerKills } from './crashes.suite.js';
import { killableDatabases } from './killable-database.js';
import { knobs } from './knobs.js';

const SWEEP_KILLS = 3;
const extent = {
  seed: knobs.seed,
  serverKills: Math.ceil(knobs.serverKills / databases.length),
  databaseKills: Math.ceil(knobs.databaseKills / Math.max(1, killableDatabases.length)),
  sweptKeys: 20_000,
  sweepKills: SWEEP_KILLS,
  report: (text: string) => process.stdout.write(`crashes, ${text}\n`),
};
describeServerKills(extent);
describeDatabaseKills(extent);
