import type { Sequence } from './model.sequences.js';

/** Sequences that an implementation once got wrong, as the test printed them, the latest at the end. */
export const regressions: { what: string; sequence: Sequence }[] = [];
