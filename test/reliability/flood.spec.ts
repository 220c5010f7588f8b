/**
 * Proves on the built server that a flood of bodies, of whatever kind, takes no more memory than its
 * budget says, that batches of real clients are stored meanwhile, and that who is refused is told to
 * come back.
 */
import { describeFloods } from './flood.suite.js';

describeFloods({ waves: 1 });
