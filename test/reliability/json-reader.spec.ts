/**
 * Proves, for some seconds, that the module reads JSON as JSON.parse does: it takes the same texts, but for
 * names given twice and depth, and of thousands of bodies, most of them spoilt, finds the same keys and
 * backups. json-reader.reliability-spec.ts goes on for longer.
 */
import { describeJsonReader } from './json-reader.suite.js';
import { knobs } from './knobs.js';

describeJsonReader({ seed: knobs.seed, inputs: 12_000, minutes: 1 });
