// The long forms of what the normal tests try for seconds: npm run test:reliability. Each suite is
// bounded by the variables that test/reliability/knobs.ts reads.
import config from './jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...config,
  testPathIgnorePatterns: ['/node_modules/'],
  testMatch: ['<rootDir>/test/reliability/**/*.reliability-spec.ts'],
  // One after the other: each of them wants the machine to itself.
  maxWorkers: 1,
  // Suites bound themselves; this only ends one that hangs.
  testTimeout: (Number(process.env.RELIABILITY_MINUTES || 2) + 15) * 60_000,
};
