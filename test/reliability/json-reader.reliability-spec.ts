/** Proves with very many bodies what json-reader.spec.ts proves with some, and tells how many it were. */
import { describeJsonReader } from './json-reader.suite.js';
import { knobs } from './knobs.js';

describeJsonReader({
  ...knobs,
  // nothing is sent anywhere: each costs next to nothing
  inputs: 20 * knobs.inputs,
  report: (text) => process.stdout.write(`json reader, ${text}\n`),
});
