import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const SPECS = ['**/*.spec.ts', '**/*.e2e-spec.ts'];

/**
 * One room of the house: what its files must not import. Every file is in at most one room, because
 * of two blocks that set the same rule ESLint keeps the last alone. Unit tests beside the code may
 * import whatever they test.
 */
function room(files, restrictions, { ignores = SPECS } = {}) {
  const patterns = restrictions.map(([regex, message]) => ({ regex, message }));
  return { files, ignores, rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

/** Everything but these modules. */
const allBut = (...modules) => `^(?!(?:${modules.join('|')})$)`;
/** Files of the repository, wherever the importing file lies: `../` as often as it takes. */
const own = (path) => String.raw`^\.{1,2}/(?:.*/)?(?:${path})`;

const HOST = [
  own('server/|ormconfig\\.js$'),
  'The library knows nothing of the server around it, nor of any other host.',
];
const INDEX = [
  String.raw`^(?:\.\./)+(?:(?:access-tokens|operations)/)?index\.js$`,
  'These are the doors for hosts; inside, import the file itself.',
];
const TYPEORM = ['^(?:typeorm|@nestjs/typeorm)(?:/|$)', 'Only storage/ speaks to the database.'];
const HTTP = [own('http/'), 'A request flows one way: http/, then the service, then storage/.'];
const STORAGE = [own('storage/'), 'http/ calls the service; only the service calls storage/.'];
const OPERATIONS = [own('operations/'), 'What operators need stands around the request path.'];
const SERVICE = [own('room-keys\\.(?:service|module)\\.js$'), 'storage/ serves; it does not ask.'];
const INSIDES = [
  own('room-keys/|access-tokens/(?!index\\.js$)|operations/(?!index\\.js$)'),
  'A host uses what the package exports. What is missing there, every other host misses too.',
];

const USE_CASES = ['room-keys.service', 'key-upload', 'removals'];
const BY_NAME = [own('src/'), 'The server imports the module by its name, as every host does.'];

/** What each room may import: the last column of the table in ARCHITECTURE.md. */
export const rooms = [
  room(
    ['src/room-keys/replacement.ts', 'src/room-keys/room-key.ts'],
    [[allBut('\\./replacement\\.js', '\\./room-key\\.js'), 'The rule is pure: it needs nothing.']],
  ),
  room(
    ['src/room-keys/room-keys.errors.ts'],
    [[allBut('@nestjs/common'), 'The errors are a list that everybody can import.']],
  ),
  room(['src/room-keys/storage/**/*.ts'], [HOST, INDEX, HTTP, SERVICE, OPERATIONS]),
  room(
    USE_CASES.map((name) => `src/room-keys/${name}.ts`),
    [HOST, INDEX, HTTP, OPERATIONS, TYPEORM],
  ),
  room(['src/room-keys/json/**/*.ts'], [HOST, INDEX, HTTP, STORAGE, SERVICE, OPERATIONS, TYPEORM]),
  room(['src/room-keys/http/**/*.ts'], [HOST, INDEX, STORAGE, OPERATIONS, TYPEORM]),
  room(['src/operations/**/*.ts'], [HOST, INDEX, HTTP, SERVICE]),
  room(['src/*.ts'], [HOST]),
  room(['src/access-tokens/**/*.ts'], [HOST, INDEX]),
  // The module and its options: they put the rooms together, so they may import all of them.
  room(['src/room-keys/*.ts'], [HOST, INDEX], {
    ignores: [
      ...SPECS,
      ...['replacement', 'room-key', 'room-keys.errors', ...USE_CASES].map(
        (name) => `src/room-keys/${name}.ts`,
      ),
    ],
  }),
  room(['ormconfig.ts'], [INSIDES]),
  room(['server/src/**/*.ts'], [BY_NAME]),
  // These are specs themselves: a test from outside is a host like any other.
  room(['test/e2e/**/*.ts'], [INSIDES], { ignores: [] }),
];

/**
 * Which database it is, only storage/database/ asks, and the server where it reads DATABASE_URL: elsewhere a new one
 * would get a branch that is not its own.
 */
const NAMES_OF_DATABASES = '/^(?:mysql|mariadb|sqlite|better-sqlite3|postgres|postgresql):?$/';
export const oneRoomForDatabases = {
  files: ['src/**/*.ts', 'server/src/**/*.ts'],
  ignores: ['src/room-keys/storage/database/**', 'server/src/database-url.ts', ...SPECS],
  rules: {
    'no-restricted-syntax': [
      'error',
      ...[
        `BinaryExpression > Literal[value=${NAMES_OF_DATABASES}]`,
        `SwitchCase > Literal[value=${NAMES_OF_DATABASES}]`,
      ].map((selector) => ({ selector, message: 'Ask the Dialect, not which database it is.' })),
    ],
  },
};

/** Whoever switches a rule off says why: `// eslint-disable-next-line rule -- because …`. */
const disableWithReason = {
  meta: { type: 'suggestion', schema: [], messages: { why: 'Say why: "-- because …".' } },
  create(context) {
    return {
      Program() {
        for (const comment of context.sourceCode.getAllComments()) {
          if (!/^\s*eslint-disable/.test(comment.value)) continue;
          if (/\s--\s+\S/.test(comment.value)) continue;
          // Column -1 lies before the comment, so that it cannot switch this off as well.
          const { line } = comment.loc.start;
          context.report({ loc: { line, column: -1 }, messageId: 'why' });
        }
      },
    };
  },
};

export default defineConfig(
  globalIgnores(['**/dist/', 'coverage/', 'data/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { local: { rules: { 'disable-with-reason': disableWithReason } } },
    rules: {
      eqeqeq: 'error',
      'local/disable-with-reason': 'error',
      // Also refuses `import('…')` in types, which would slip past the rooms.
      '@typescript-eslint/consistent-type-imports': 'error',
      // Modules, entities and migrations are classes for their decorators' sake.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Nest and TypeORM declare classes for what everybody hands them as plain objects.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    // An example has its own tsconfig.json, to be copied with it; here the root's knows where
    // the package that it imports is.
    files: ['examples/**/*.ts'],
    languageOptions: {
      parserOptions: { projectService: false, project: './tsconfig.json' },
    },
    rules: {
      // Node's test runner waits for its tests by itself.
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', package: 'node:test', name: 'test' }] },
      ],
    },
  },
  rooms,
  oneRoomForDatabases,
  {
    // Tests hold answers whose types are what they are about to prove.
    files: ['{test,server/test}/**/*.ts', ...SPECS],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    // Configuration and scripts are plain JavaScript, outside tsconfig.json.
    files: ['**/*.{js,mjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: { console: 'readonly', process: 'readonly', URL: 'readonly' } },
  },
);
