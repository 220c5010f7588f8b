/**
 * Proves, for some seconds, that random sequences of requests are answered as a plain model of the
 * specification answers them, and leave the same stored. model.reliability-spec.ts goes on for longer.
 */
import { knobs } from './knobs.js';
import { describeModel } from './model.suite.js';

describeModel({ seed: knobs.seed, sequences: 40, longest: 20, minutes: 1 });
