// What is around the stored and answered: the server as a process, its commands, proxies, browser, packages, real
// homeservers and clients, clusters, crashes, monitoring: npm run test:around. Each suite starts programs of its own.
import { availableParallelism } from 'node:os';
import config, { AROUND } from './jest.config.js';

/** @type {import('jest').Config} */
export default {
  ...config,
  testMatch: undefined,
  testRegex: AROUND,
  testPathIgnorePatterns: ['/node_modules/'],
  // each suite is several processes already
  maxWorkers: Math.min(availableParallelism(), 4),
};
