import { availableParallelism } from 'node:os';

/** The suites of jest.around.config.js; all others are those of `npm test`. */
export const AROUND = [
  '/server/test/.*\\.spec\\.ts$',
  '/test/(?:client|homeserver|package)/.*\\.spec\\.ts$',
  '/test/bench\\.spec\\.ts$',
  '/test/reliability/(?:cluster|crashes|failover|flood|group)\\.spec\\.ts$',
];

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testMatch: [
    '<rootDir>/src/**/*.spec.ts',
    '<rootDir>/{server,test}/**/*.spec.ts',
    '<rootDir>/test/**/*.e2e-spec.ts',
  ],
  testPathIgnorePatterns: ['/node_modules/', ...AROUND],

  // Nest 12 is made of ES modules only, so the tests are too: hence --experimental-vm-modules in
  // the test script.
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    // TypeScript writes './x.js' for './x.ts'. Packages, which really have './x.js', come first.
    '^(\\.{1,2}/.*)\\.js$': ['$1.js', '$1.ts'],
    '^nestjs-room-keys$': '<rootDir>/src/index.ts',
    '^nestjs-room-keys/(rate-limits|testing)$': '<rootDir>/src/$1.ts',
    '^nestjs-room-keys/(access-tokens|operations)$': '<rootDir>/src/$1/index.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        swcrc: false,
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          // The same class semantics as tsconfig.json.
          transform: {
            legacyDecorator: true,
            decoratorMetadata: true,
            useDefineForClassFields: true,
          },
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },

  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',

  // One more than there are cores, since many suites mostly wait. Four are enough: all of them share one server of
  // each kind.
  maxWorkers: Math.min(availableParallelism() + 1, 4),
  // A worker with nothing left open still needs a second to free its memory on a busy machine; Jest's
  // half a second would call that a leak.
  workerGracefulExitTimeout: 10_000,
  // Only ends what hangs. On a machine that is busy with something else, all of it takes many times as long.
  testTimeout: 900_000,

  coverageProvider: 'v8',
  collectCoverageFrom: ['{src,server/src}/**/*.ts', '!**/*.spec.ts'],
};
