/**
 * Proves that a new application of Nest takes the package up by the README alone: installed by its line, with its
 * code in app.module.ts, the application is built and passes its own tests, whose configuration is unchanged.
 * What is in scaffolds/ is what `npx @nestjs/cli@11 new host` and `npx @nestjs/cli@12 new host` write.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Host, npm, pack, registryAnswers, ROOT, versionOf } from './host.js';

const describeWithRegistry = (await registryAnswers()) ? describe : describe.skip;

let folder: string;
let packed: string;
let readme: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'room-keys-scaffolds-'));
  packed = (await pack(folder)).file;
  readme = await readFile(join(ROOT, 'README.md'), 'utf8');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describeWithRegistry.each([
  { major: 11, tests: 'Jest, CommonJS', otherTypeorm: '0.3' },
  { major: 12, tests: 'Vitest, ES modules', otherTypeorm: undefined },
])('a new application of Nest $major ($tests)', ({ major, otherTypeorm }) => {
  let host: Host;

  beforeAll(async () => {
    host = await Host.scaffold(major);
    await host.add(installLine(major));
    await host.write('src/app.module.ts', applicationOfTheReadme(major));
    await host.write('test/room-keys.e2e-spec.ts', uploadTest(major));
  });
  afterAll(() => host.remove());

  it('is built', async () => {
    await host.script('build');
  });

  it('passes its own tests, and one that stores 100 keys', async () => {
    await host.script('test');
    await host.script('test:e2e');
  });

  it('has one copy of each class, however it is loaded', async () => {
    const program = `
      const required = require('nestjs-room-keys');
      import('nestjs-room-keys').then(({ RoomKeysModule, MatrixError }) =>
        console.log(required.RoomKeysModule === RoomKeysModule && required.MatrixError === MatrixError));`;
    await host.write('copies.cjs', program);
    expect(await host.node('copies.cjs')).toBe('true');
  });

  it('has the operations in its OpenAPI document once @nestjs/swagger is installed', async () => {
    await host.add([`@nestjs/swagger@${major}`]);
    await host.write('test/document.e2e-spec.ts', documentTest(major));
    await host.script('test:e2e');
  });

  if (otherTypeorm === undefined) return;
  it(`passes them with TypeORM ${otherTypeorm} too`, async () => {
    await host.add([`typeorm@${otherTypeorm}`]);
    await host.script('build');
    await host.script('test:e2e');
  });
});

describeWithRegistry.each([11, 12])('beside Nest %d the package alone', (major) => {
  const managers: [name: string, parameters: string[]][] = [
    ['npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund']],
    ['pnpm', ['exec', '--yes', '--', 'pnpm@10', 'add', '--ignore-scripts']],
    // Yarn 1 counts what Nest 12 itself says of Node
    ['yarn', ['exec', '--yes', '--', 'yarn@1', 'add', '--ignore-scripts', '--ignore-engines']],
  ];

  it.each(managers)('is installed by %s', async (name, parameters) => {
    const project = join(folder, `${name}-${major}`);
    await mkdir(project);
    const nest = ['common', 'core', 'platform-express'].map((part) => [
      `@nestjs/${part}`,
      `^${major}.0.1`,
    ]);
    const dependencies = {
      ...Object.fromEntries(nest),
      'reflect-metadata': '^0.2.2',
      rxjs: '^7.8.1',
    };
    await writeFile(
      join(project, 'package.json'),
      JSON.stringify({ name: 'host', version: '1.0.0', private: true, dependencies }),
    );
    await npm([...parameters, packed], project);
    const installed = JSON.parse(
      await readFile(join(project, 'node_modules/nestjs-room-keys/package.json'), 'utf8'),
    ) as { name: string };
    expect(installed.name).toBe('nestjs-room-keys');
  });
});

/** What the README says to install for a major version of Nest, the package itself from its file. */
function installLine(major: number): string[] {
  const [, line] = new RegExp(`^npm install (nestjs-room-keys .*?) +# Nest ${major}$`, 'm').exec(
    readme,
  )!;
  return line!.split(' ').map((name) => {
    if (name === 'nestjs-room-keys') return packed;
    // the one of which the repository has the compiled part
    return name === 'better-sqlite3' ? `${name}@${versionOf(name)}` : name;
  });
}

/** The README's app.module.ts, with the controller of the scaffold, for which it has a test. */
function applicationOfTheReadme(major: number): string {
  const [, code] = /^## In a Nest application[^]*?```ts\n([^]*?)^```/m.exec(readme)!;
  const ending = '  ],\n})\nexport class AppModule {}';
  if (!code!.includes(ending)) throw new Error('The example in the README ends otherwise.');
  return `import { AppController } from './app.controller${extension(major)}';
import { AppService } from './app.service${extension(major)}';
${code!
  .replace(
    ending,
    `  ],\n  controllers: [AppController],\n  providers: [AppService],\n})\nexport class AppModule {}`,
  )
  .replace("'homeserver.db'", "':memory:'")}`;
}

/** Of relative imports: CommonJS has none. */
const extension = (major: number) => (major === 11 ? '' : '.js');

/** A test in the style of the scaffold. */
function e2eTest(major: number, imports: string, title: string, body: string): string {
  return `import { Test } from '@nestjs/testing';
import { INestApplication } from '@nestjs/common';
${imports}
import { AppModule } from './../src/app.module${extension(major)}';

describe('key backup (e2e)', () => {
  let app: INestApplication;

  beforeEach(async () => {
    const fixture = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = fixture.createNestApplication();
    await app.init();
  });

  afterEach(() => app.close());

  it('${title}', async () => {
${body}
  });
});
`;
}

const uploadTest = (major: number) =>
  e2eTest(
    major,
    "import request from 'supertest';",
    'stores 100 keys',
    `    const api = '/_matrix/client/v3/room_keys';
    const authorization = { Authorization: 'Bearer secret' };
    const backup = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };
    const created = await request(app.getHttpServer()).post(api + '/version').set(authorization).send(backup);
    expect(created.body).toEqual({ version: '1' });
    const key = {
      first_message_index: 0,
      forwarded_count: 0,
      is_verified: true,
      session_data: { ciphertext: 'x'.repeat(2000) },
    };
    const sessions = Object.fromEntries(Array.from({ length: 100 }, (_, n) => ['session' + n, key]));
    const path = api + '/keys?version=1';
    const body = { rooms: { '!room:example.org': { sessions } } };
    const stored = await request(app.getHttpServer()).put(path).set(authorization).send(body);
    expect(stored.body).toMatchObject({ count: 100 });
    const restored = await request(app.getHttpServer()).get(path).set(authorization);
    expect(restored.body).toEqual(body);`,
  );

const documentTest = (major: number) =>
  e2eTest(
    major,
    "import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';",
    'is documented',
    `    const document = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    const paths = Object.keys(document.paths).filter((path) => path.includes('room_keys'));
    expect(paths).toHaveLength(5);
    expect(document.components?.schemas).toHaveProperty('RoomKeysBackup');`,
  );
