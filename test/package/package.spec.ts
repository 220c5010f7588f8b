/**
 * Proves the package as a host gets it: what is in it, and that a project outside the repository can
 * install it beside Nest 12 or Nest 11, compiles strictly against its declarations, starts the
 * application of docs/embedding.md with it, and passes the end-to-end suites.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Running } from '../../server/test/proxy/processes.js';
import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';
import { documentation } from './documentation.js';
import { Host, type ModuleKind, npm, pack, registryAnswers, ROOT, versionOf } from './host.js';

interface HostUnderTest {
  name: string;
  dependencies: Record<string, string>;
  /** Folders of the repository's tests. */
  suites: string[];
  databases: 'all' | 'SQLite';
}

const hosts: HostUnderTest[] = [
  {
    name: 'Nest 12 and TypeORM 1',
    dependencies: { ...nest('^12.0.0'), typeorm: '^1.1.0' },
    suites: ['e2e'],
    databases: 'all',
  },
  {
    name: 'Nest 11 and TypeORM 0.3',
    dependencies: {
      ...nest('^11.0.0'),
      typeorm: '^0.3.31',
      'class-validator': '^0.14.0',
      // of the suites of hosts, which the repository runs with Nest 12 alone
      '@nestjs/testing': '^11.0.0',
      express: '^5.0.0',
    },
    suites: ['e2e', 'host'],
    databases: 'all',
  },
];

function nest(range: string): Record<string, string> {
  return {
    '@nestjs/common': range,
    '@nestjs/core': range,
    '@nestjs/platform-express': range,
    '@nestjs/swagger': range,
    '@nestjs/typeorm': range,
    '@types/node': '^20.19.0',
    'better-sqlite3': versionOf('better-sqlite3'),
    'class-transformer': '^0.5.1',
    mysql2: '^3.15.3',
    pg: '^8.16.0',
    'reflect-metadata': '^0.2.0',
    rxjs: '^7.8.0',
    typescript: versionOf('typescript'),
  };
}

const OPTIONAL_PEERS = ['@nestjs/swagger', '@nestjs/typeorm', 'mysql2', 'pg'];

const hasRegistry = await registryAnswers();
const describeWithRegistry = hasRegistry ? describe : describe.skip;

let folder: string;
let packed: { file: string; files: string[]; size: number };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'room-keys-package-'));
  packed = await pack(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('has what it needs and nothing else in the package', async () => {
  const sources = (await readdir(join(ROOT, 'src'), { recursive: true }))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts'))
    .map((path) => path.slice(0, -'.ts'.length));
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  const expected = [
    'CHANGELOG.md',
    ...docs.map((name) => `docs/${name}`),
    'LICENSE',
    'README.md',
    'openapi.json',
    'package.json',
    'dist/cjs/package.json',
    ...sources.flatMap((path) => [`dist/${path}.js`, `dist/cjs/${path}.js`]),
  ];
  // those that the entries lead to, which is for the compilers of hosts to say
  const isDeclaration = (path: string) => path.endsWith('.d.ts');
  expect(packed.files.filter((path) => !isDeclaration(path)).sort()).toEqual(expected.sort());
  expect(packed.size).toBeLessThan(400_000);
});

(hasRegistry ? it : it.skip).each([
  ['publint', 'publint@0.3'],
  ['Are the types wrong?', '@arethetypeswrong/cli@0.18'],
])('%s finds nothing', async (_, program) => {
  await npm(['exec', '--yes', '--', program, packed.file], folder);
});

describeWithRegistry.each(hosts)('in a host with $name', ({ dependencies, suites, databases }) => {
  let host: Host;

  beforeAll(async () => {
    host = await Host.create(packed.file, dependencies);
  });
  afterAll(() => host.remove());

  const kinds: [string, ModuleKind][] = [
    ['of ES modules', 'esm'],
    ['of CommonJS', 'cjs'],
  ];

  it.each(kinds)(
    'the application of docs/embedding.md %s is compiled strictly, and serves',
    async (_, kind) => {
      await host.compile(kind, { 'app.module.ts': await documentedApplication() });
      const running = await host.start(kind, 'app.module.js');
      await expectToServe(running);
    },
  );

  it('what only other databases and the documentation need does not have to be installed', async () => {
    await host.without(OPTIONAL_PEERS, async () => {
      await expectToServe(await host.start('esm', 'plain.module.js'));
    });
  });

  it('a start without a driver ends with a sentence that says what to install', async () => {
    await host.without(['better-sqlite3'], async () => {
      await expect(host.start('esm', 'plain.module.js')).rejects.toThrow(
        'npm install better-sqlite3',
      );
    });
  });

  it('the end-to-end suites pass', async () => {
    const run = JSON.parse(process.env.ROOM_KEYS_TEST_RUN!) as Record<string, string>;
    const specs = await specsIn(suites);
    const result = await host.test(specs, {
      ...run,
      ...(databases === 'SQLite' && { mariadb: undefined, mysql: undefined }),
    });
    if (result.failed > 0) throw new Error(result.said);
    expect(result.specs.sort()).toEqual(specs);
  });

  it.each([
    ['index', 24],
    ['access-tokens/index', 14],
    ['operations/index', 38],
    ['rate-limits', 7],
    ['testing', 3],
  ])(
    '%s exports few names, each with documentation, each option with its default',
    (entry, most) => {
      const exported = documentation(host.module('nestjs-room-keys', 'dist', `${entry}.d.ts`));
      expect(exported.size).toBeLessThanOrEqual(most);
      const undocumented = [...exported]
        .filter(([, { text }]) => text === '')
        .map(([name]) => name);
      expect(undocumented).toEqual([]);
      const options = [...exported].filter(([name]) =>
        /^RoomKeys(Options|Extras|Limits)$|Options$/.test(name),
      );
      const withoutDefault = options.flatMap(([name, { members }]) =>
        [...members]
          .filter(([, text]) => !/(Default: [^]+|no\sdefault)\.$/.test(text))
          .map(([member]) => `${name}.${member}`),
      );
      expect(withoutDefault).toEqual([]);
    },
  );
});

/** The test files in folders below test/; the example, which is a project of its own, has one too. */
async function specsIn(folders: readonly string[]): Promise<string[]> {
  const names = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(ROOT, 'test', folder))).map((name) => `${folder}/${name}`),
    ),
  );
  return names
    .flat()
    .filter((name) => name.endsWith('spec.ts') && !name.includes('/example.'))
    .sort();
}

/** The verifier of docs/embedding.md that uses a service of the host, in an application. */
async function documentedApplication(): Promise<string> {
  const page = await readFile(join(ROOT, 'docs/embedding.md'), 'utf8');
  const [, code] = /^```ts\n(RoomKeysModule\.forRootAsync[^]*?);\n```/m.exec(page)!;
  return `import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RoomKeysModule, roomKeysEntities, roomKeysMigrations } from 'nestjs-room-keys';
import { UsersModule, UsersService } from './users.module.js';

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'better-sqlite3',
      database: ':memory:',
      entities: [...roomKeysEntities('better-sqlite3')],
      migrations: [...roomKeysMigrations],
      migrationsRun: true,
    }),
    ${code!},
  ],
})
export class AppModule {}
`;
}

/** A backup as clients fill it: a batch that is more than Nest lets through by itself. */
async function expectToServe({ url, stop }: Running): Promise<void> {
  try {
    const alice = new MatrixClient(url, 'alice');
    const version = await alice.createBackup();
    const batch = roomsBody(
      Array.from({ length: 200 }, (_, n) => [
        '!room:hs1',
        `session/${n}`,
        keyData({ session_data: { ciphertext: 'x'.repeat(1000) } }),
      ]),
    );
    expect(await alice.put(`/keys?version=${version}`, batch)).toMatchObject({
      status: 200,
      body: { count: 200 },
    });
    expect((await alice.get(`/keys?version=${version}`)).body).toEqual(batch);
  } finally {
    await stop();
  }
}
