/**
 * Proves how a host sets the module up: each way to give it options and a DataSource, the sentence
 * that a start ends with where something is wrong, and that several in one process keep apart.
 */
import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import {
  type DynamicModule,
  type ForwardReference,
  type INestApplicationContext,
  Inject,
  Injectable,
  Module,
  Scope,
  type Type,
} from '@nestjs/common';
import { NestFactory, RouterModule } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, DefaultNamingStrategy } from 'typeorm';
import {
  RoomKeysModule,
  type RoomKeysOptions,
  RoomKeysService,
  roomKeysEntities,
  roomKeysMigrations,
} from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { verifyAccessToken } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keepIdleConnections } from '../support/idle-connections.js';
import { keyData, MatrixClient } from '../support/matrix-client.js';

type Import = Type | DynamicModule | Promise<DynamicModule> | ForwardReference;

const { create } = databases[0]!;
const QUIET = { logger: false, abortOnError: false } as const;
const MEGOLM_BACKUP_V1 = 'm.megolm_backup.v1.curve25519-aes-sha2';
/** An option whose effect shows. */
const ALGORITHM = 'org.example.algorithm';
const options: RoomKeysOptions = {
  verifyAccessToken,
  allowedAlgorithms: [ALGORITHM],
  sweepIntervalMs: 0,
};

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const undo of cleanUp.splice(0).reverse()) await undo();
});

async function newDatabase(): Promise<TestDatabase> {
  const database = await create();
  cleanUp.push(database.drop);
  return database;
}

/** The DataSource of a host; `tables` tells whether it runs the module's migrations. */
async function dataSource(name?: string, tables = true): Promise<DynamicModule> {
  const { dataSourceOptions } = await newDatabase();
  return TypeOrmModule.forRoot({
    ...dataSourceOptions,
    ...(name === undefined ? {} : { name }),
    entities: roomKeysEntities(dataSourceOptions.type),
    migrations: tables ? roomKeysMigrations : [],
    migrationsRun: true,
    retryAttempts: 0,
  });
}

function hostOf(imports: Import[], more: Pick<DynamicModule, 'providers'> = {}): DynamicModule {
  @Module({})
  class HostModule {}
  return { module: HostModule, imports, ...more };
}

async function start(imports: Import[], more?: Pick<DynamicModule, 'providers'>) {
  const app = await NestFactory.create<NestExpressApplication>(hostOf(imports, more), QUIET);
  cleanUp.push(() => app.close());
  keepIdleConnections(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  return { app, url: `http://127.0.0.1:${port}` };
}

/** What the module has to say about a start that it stops. */
async function complaint(begin: () => Import[] | Promise<Import[]>): Promise<string> {
  try {
    await start(await begin());
  } catch (error) {
    return (error as Error).message;
  }
  return 'It started.';
}

const service = (context: INestApplicationContext) =>
  context.get(RoomKeysService, { strict: false });

/** That options and DataSource have arrived: a backup that only these options allow is stored. */
async function expectToWork({ app, url }: Awaited<ReturnType<typeof start>>): Promise<void> {
  const alice = new MatrixClient(url, 'alice');
  const backup = { algorithm: ALGORITHM, auth_data: {} };
  expect((await alice.post('/version', backup)).body).toEqual({ version: '1' });
  expect(await service(app).currentBackup('@alice:hs1')).toMatchObject({ algorithm: ALGORITHM });
}

@Injectable()
class OptionsOfTheHost {
  createRoomKeysOptions(): RoomKeysOptions {
    return options;
  }
}

@Module({ providers: [OptionsOfTheHost], exports: [OptionsOfTheHost] })
class SettingsModule {}

describe('the module', () => {
  const ways: [string, (extras: { dataSource?: string }) => DynamicModule][] = [
    ['forRoot', (extras) => RoomKeysModule.forRoot({ ...options, ...extras })],
    [
      'a factory',
      (extras) => RoomKeysModule.forRootAsync({ useFactory: () => options, ...extras }),
    ],
    [
      'a factory that takes its time, and providers of another module',
      (extras) =>
        RoomKeysModule.forRootAsync({
          imports: [SettingsModule],
          inject: [OptionsOfTheHost],
          useFactory: async (settings: OptionsOfTheHost) => {
            await new Promise(setImmediate);
            return settings.createRoomKeysOptions();
          },
          ...extras,
        }),
    ],
    ['a class', (extras) => RoomKeysModule.forRootAsync({ useClass: OptionsOfTheHost, ...extras })],
    [
      'a provider that there is',
      (extras) =>
        RoomKeysModule.forRootAsync({
          imports: [SettingsModule],
          useExisting: OptionsOfTheHost,
          ...extras,
        }),
    ],
  ];

  it.each(ways)('takes its options from %s', async (_, roomKeys) => {
    await expectToWork(await start([await dataSource(), roomKeys({})]));
  });

  it.each(ways)('takes a DataSource by its name beside options from %s', async (_, roomKeys) => {
    const imports = [await dataSource('keys'), roomKeys({ dataSource: 'keys' })];
    await expectToWork(await start(imports));
  });

  it('takes the DataSource without a name by the name that TypeORM has for it', async () => {
    await expectToWork(
      await start([
        await dataSource(),
        RoomKeysModule.forRoot({ ...options, dataSource: 'default' }),
      ]),
    );
  });

  it('uses only the configured DataSource', async () => {
    const { app } = await start([
      await dataSource(undefined, false),
      await dataSource('keys'),
      RoomKeysModule.forRoot({ ...options, dataSource: 'keys' }),
    ]);
    expect(
      await service(app).createBackup('@a:hs1', { algorithm: ALGORITHM, authData: '{}' }),
    ).toBe('1');
  });

  it('may come before the DataSource', async () => {
    await expectToWork(await start([RoomKeysModule.forRoot(options), await dataSource()]));
  });

  it('works in an application made for a test', async () => {
    const testing = await Test.createTestingModule({
      imports: [await dataSource(), RoomKeysModule.forRoot(options)],
    }).compile();
    const app = testing.createNestApplication<NestExpressApplication>({ logger: false });
    cleanUp.push(() => app.close());
    app.setGlobalPrefix('api');
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    await expectToWork({ app, url: `http://127.0.0.1:${port}` });
  });
});

describe('a start is stopped with one sentence', () => {
  const SENTENCE = /^RoomKeysModule: [^\n]*\. (Set|Use|Import|Add|Inject|Remove|Make) [^\n]*\.$/;

  const wrong: [string, unknown, RegExp][] = [
    ['no options', undefined, /Use RoomKeysModule\.forRoot\(\{ verifyAccessToken/],
    ['null', null, /Use RoomKeysModule\.forRoot\(\{ verifyAccessToken/],
    ['options that are empty', {}, /'verifyAccessToken' must be a function/],
    ['a verifier that is no function', { verifyAccessToken: 'x' }, /'verifyAccessToken'/],
    ['an option that there is not', { ...options, prefix: '/api' }, /'prefix'.*maxBodyBytes/],
    ['algorithms that are a number', { ...options, allowedAlgorithms: 5 }, /'allowedAlgorithms'/],
    ['algorithms that are null', { ...options, allowedAlgorithms: null }, /'allowedAlgorithms'/],
    ['an algorithm without a name', { ...options, allowedAlgorithms: [''] }, /'allowedAlgorithms'/],
    ['a limit in words', { ...options, maxBodyBytes: '16mb' }, /'maxBodyBytes'.*16777216/],
    ['a limit of 0', { ...options, maxBodyBytes: 0 }, /'maxBodyBytes'/],
    ['a negative interval', { ...options, sweepIntervalMs: -1 }, /'sweepIntervalMs'/],
  ];

  it.each(wrong)('by %s', async (_, given, saying) => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRoot(given as RoomKeysOptions),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(saying);
  });

  it.each(wrong)('by a factory that returns %s', async (_, given, saying) => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRootAsync({ useFactory: () => given as RoomKeysOptions }),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(saying);
  });

  it('by options that were left out with the call', async () => {
    const said = await complaint(async () => [await dataSource(), RoomKeysModule]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/Use RoomKeysModule\.forRoot\(\{ verifyAccessToken/);
  });

  it('where there is no DataSource', async () => {
    const said = await complaint(() => [RoomKeysModule.forRoot(options)]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/there is no DataSource.*Import TypeOrmModule\.forRoot\(/);
  });

  it('where there is none of that name', async () => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRoot({ ...options, dataSource: 'keyz' }),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/DataSource.*'keyz'/);
  });

  it.each<[string, unknown]>([
    ['a DataSource itself', new DataSource({ type: 'better-sqlite3', database: ':memory:' })],
    ['a number', 5],
    ['nothing', ''],
  ])('where %s is given for its name', async (_, given) => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRoot({ ...options, dataSource: given as string }),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/'dataSource' must be the name/);
  });

  it('where the DataSource is for another kind of database', async () => {
    const sqlServer = { options: { type: 'mssql' } } as DataSource;
    const said = await complaint(() => [given(sqlServer), RoomKeysModule.forRoot(options)]);
    expect(said).toMatch(
      /^RoomKeysModule does not support a DataSource of type 'mssql'\. Use .*\.$/,
    );
  });

  it('where its migrations were not run', async () => {
    const said = await complaint(async () => [
      await dataSource(undefined, false),
      RoomKeysModule.forRoot(options),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/Add roomKeysMigrations to `migrations`/);
  });

  it('where a naming strategy renames its tables', async () => {
    class Capitals extends DefaultNamingStrategy {
      override tableName(target: string, given: string | undefined): string {
        return super.tableName(target, given).toUpperCase();
      }
    }
    const { dataSourceOptions } = await newDatabase();
    const said = await complaint(() => [
      TypeOrmModule.forRoot({
        ...dataSourceOptions,
        entities: roomKeysEntities(dataSourceOptions.type),
        migrations: roomKeysMigrations,
        migrationsRun: true,
        namingStrategy: new Capitals(),
        retryAttempts: 0,
      }),
      RoomKeysModule.forRoot(options),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/naming strategy.*'room_keys_users' to 'ROOM_KEYS_USERS'/);
  });

  it('where its options need a provider of request scope', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {}
    @Module({ providers: [Tenant], exports: [Tenant] })
    class TenantModule {}
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRootAsync({
        imports: [TenantModule],
        inject: [Tenant],
        useFactory: () => options,
      }),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/request-scoped/);
  });

  it('where RouterModule would move its routes', async () => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRoot(options),
      RouterModule.register([{ path: 'api', module: RoomKeysModule }]),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/'\/api'.*RouterModule\.register/);
  });

  it('where an application imports it twice', async () => {
    const said = await complaint(async () => [
      await dataSource(),
      RoomKeysModule.forRoot(options),
      hostOf([RoomKeysModule.forRoot({ ...options, maxBodyBytes: 5 })]),
    ]);
    expect(said).toMatch(SENTENCE);
    expect(said).toMatch(/twice/);
  });
});

describe('several modules in one process', () => {
  it('in two applications with a database each, do not see each other’s backups', async () => {
    const first = await start([await dataSource(), RoomKeysModule.forRoot(options)]);
    const second = await start([
      await dataSource(),
      RoomKeysModule.forRoot({ verifyAccessToken, sweepIntervalMs: 0, maxBodyBytes: 200 }),
    ]);
    await expectToWork(first);
    const alice = new MatrixClient(second.url, 'alice');
    expect((await alice.get('/version')).status).toBe(404);
    // nor have they each other's options
    const backup = { algorithm: ALGORITHM, auth_data: {} };
    expect((await alice.post('/version', backup)).status).toBe(400);
    const large = { algorithm: MEGOLM_BACKUP_V1, auth_data: { large: 'x'.repeat(200) } };
    expect((await alice.post('/version', large)).status).toBe(413);
    expect((await new MatrixClient(first.url, 'bob').post('/version', large)).status).toBe(200);
  });

  it('in two applications, one of which ends, leave the other at work', async () => {
    const first = await start([await dataSource(), RoomKeysModule.forRoot(options)]);
    const second = await start([await dataSource(), RoomKeysModule.forRoot(options)]);
    await first.app.close();
    await expectToWork(second);
  });

  it('on one DataSource, are one backup, and lose nothing that all of them store at once', async () => {
    const { dataSourceOptions } = await newDatabase();
    const shared = await new DataSource({
      ...dataSourceOptions,
      entities: roomKeysEntities(dataSourceOptions.type),
      migrations: roomKeysMigrations,
      migrationsRun: true,
    }).initialize();
    cleanUp.push(() => shared.destroy());
    const hosts = [
      await start([given(shared), RoomKeysModule.forRoot(options)]),
      await start([given(shared), RoomKeysModule.forRoot(options)]),
    ];
    const [first, second] = hosts.map(({ url }) => new MatrixClient(url, 'alice'));
    await first!.createBackup();
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        (n % 2 ? first! : second!).put(`/keys/!r/s${n}?version=1`, keyData()),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(30).fill(200));
    expect(new Set(answers.map(({ body }) => (body as { count: number }).count)).size).toBe(30);
    expect((await second!.get('/version')).body).toMatchObject({ count: 30 });
  });
});

describe('RoomKeysService', () => {
  const backup = { algorithm: MEGOLM_BACKUP_V1, authData: '{}' };

  @Injectable()
  class Accounts {
    constructor(@Inject(RoomKeysService) readonly roomKeys: RoomKeysService) {}
  }

  it('is there for the providers of the module that imports the module', async () => {
    const { app } = await start([await dataSource(), RoomKeysModule.forRoot(options)], {
      providers: [Accounts],
    });
    expect(app.get(Accounts).roomKeys).toBe(service(app));
  });

  it('is there for those that import a module that exports it', async () => {
    @Module({ imports: [RoomKeysModule.forRoot(options)], exports: [RoomKeysModule] })
    class KeyBackupModule {}
    @Module({ imports: [KeyBackupModule], providers: [Accounts] })
    class AccountsModule {}
    const { app } = await start([await dataSource(), AccountsModule, KeyBackupModule]);
    expect(app.get(Accounts, { strict: false }).roomKeys).toBe(service(app));
  });

  it('works without HTTP', async () => {
    const context = await NestFactory.createApplicationContext(
      hostOf([await dataSource(), RoomKeysModule.forRoot(options)]),
      QUIET,
    );
    cleanUp.push(() => context.close());
    const roomKeys = service(context);
    expect(await roomKeys.createBackup('@a:hs1', backup)).toBe('1');
    const key = {
      roomId: '!r',
      sessionId: 's',
      isVerified: false,
      firstMessageIndex: 0,
      forwardedCount: 0,
      sessionData: '{"ciphertext":"c"}',
    };
    expect(await roomKeys.putKeys('@a:hs1', '1', [key], 'PHONE')).toEqual({ count: 1, etag: '1' });
    const maintenance = context.get(RoomKeysMaintenance, { strict: false });
    expect(await maintenance.summary('@a:hs1')).toMatchObject({ count: 1 });
    await maintenance.eraseUser('@a:hs1');
    expect(await maintenance.summary('@a:hs1')).toMatchObject({ count: 0, backups: [] });
    await expect(roomKeys.currentBackup('@a:hs1')).rejects.toMatchObject({ status: 404 });
  });
});

/** The module of a host that has made its DataSource itself. */
function given(one: DataSource): DynamicModule {
  @Module({})
  class GivenDataSourceModule {}
  return {
    module: GivenDataSourceModule,
    global: true,
    providers: [{ provide: DataSource, useValue: one }],
    exports: [DataSource],
  };
}
