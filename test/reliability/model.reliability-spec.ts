/** Proves with thousands of random sequences what model.spec.ts proves with a few, and tells how many it were. */
import { knobs } from './knobs.js';
import { describeModel } from './model.suite.js';

describeModel({
  ...knobs,
  longest: 40,
  report: (text) => process.stdout.write(`model, ${text}\n`),
});
