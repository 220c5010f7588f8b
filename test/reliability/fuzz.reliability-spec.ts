/** Proves with thousands of inputs on each database what fuzz.spec.ts proves with some, and tells what was answered. */
import { describeFuzzing } from './fuzz.suite.js';
import { knobs } from './knobs.js';

describeFuzzing({
  ...knobs,
  on: ['SQLite', 'MariaDB', 'MySQL', 'PostgreSQL'],
  report: (text) => process.stdout.write(`fuzz, ${text}\n`),
});
