import type { SixRestores } from './compare.stage.js';
import type { LargeResults } from './large.stage.js';
import type { NeighboursResults } from './neighbours.stage.js';
import type { Phase } from './run.js';
import type { StartResults } from './start.stage.js';

/** All that one run measured; what it writes as JSON. */
export interface Results {
  machine: { cores: number; processor: string; node: string; date: string };
  /** Such as `MySQL 9.7.0`. */
  database: string;
  /** How many processes of ours served. */
  workers: number;
  /** Seconds that each worked before it was measured. */
  warmUp: number;
  peer: string | undefined;
  keys: number;
  phases: Phase[];
  restores: SixRestores | undefined;
  large: LargeResults | undefined;
  neighbours: NeighboursResults | undefined;
  start: StartResults | undefined;
}
