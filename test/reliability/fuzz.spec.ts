/**
 * Proves, for some seconds, on the built server, that whatever a client sends, it gets the answer that it
 * deserves and never a 5xx; that nothing changes by what is refused, and of another user's nothing ever;
 * and that the process goes on, with as little memory as before.
 * fuzz.reliability-spec.ts goes on for longer.
 */
import { describeFuzzing } from './fuzz.suite.js';
import { knobs } from './knobs.js';

describeFuzzing({
  seed: knobs.seed,
  inputs: 400,
  minutes: 1,
  on: ['SQLite'],
});
