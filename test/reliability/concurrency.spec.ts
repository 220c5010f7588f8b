/**
 * Proves, for some seconds, that a user's devices on several servers never lose a key to each other,
 * and that every answer is that of a server which does one thing after the other.
 * concurrency.reliability-spec.ts goes on for longer.
 */
import { describeConcurrency } from './concurrency.suite.js';
import { knobs } from './knobs.js';

describeConcurrency({ seed: knobs.seed, rounds: 3, requests: 150, minutes: 1, servers: 2 });
