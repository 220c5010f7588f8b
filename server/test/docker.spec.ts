/** Proves of docker/, without a Docker engine, what would otherwise show only when an image is built or run. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Setting, SETTINGS } from '../src/settings.js';

// Not imported: of its two major versions in use, one brings no types.
const yaml = createRequire(import.meta.url)('js-yaml') as { load(text: string): unknown };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Service {
  build?: { context: string; dockerfile: string };
  image?: string;
  command?: string[];
  environment: Record<string, string>;
  secrets: string[];
  ports?: string[];
  volumes?: string[];
  tmpfs?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  security_opt: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck: { test: string[]; interval: string; timeout: string; retries: number };
}

interface Compose {
  name: string;
  services: Record<'room-keys' | 'mysql', Service>;
  volumes: Record<string, unknown>;
  secrets: Record<string, { file: string }>;
}

interface Instruction {
  keyword: string;
  words: string;
}

const dockerfile = instructions(read('docker/Dockerfile'));
const [build = [], runtime = []] = stages(dockerfile);
const compose = yaml.load(read('docker/compose.yml')) as Compose;
const services = Object.entries(compose.services);

describe('the Dockerfile', () => {
  it('builds on one release of Debian what it runs on the same', () => {
    const [from, to] = [build, runtime].map((stage) => only(stage, 'FROM').words.split(' ')[0]);
    expect(from).toMatch(/^node:[0-9]+-[a-z]+$/);
    expect(to).toBe(`${from!}-slim`);
  });

  it('names a version of every image, and never `latest`', () => {
    const stageNames = dockerfile.map(({ words }) => / AS (\S+)$/.exec(words)?.[1]);
    const images = [
      ...all(dockerfile, 'FROM').map(({ words }) => words.split(' ')[0]!),
      ...services.flatMap(([, { image }]) => image ?? []),
    ].filter((image) => !stageNames.includes(image));
    expect(images).toHaveLength(3);
    for (const image of images) expect(image).toMatch(/^\S+:(?!latest)\S+$/);
  });

  it('copies only what the repository has, and what .dockerignore lets through', () => {
    const sources = all(dockerfile, 'COPY')
      .filter(({ words }) => !words.startsWith('--from='))
      .flatMap(({ words }) => words.split(' ').slice(0, -1));
    expect(sources).toContain('src');
    expect(sources.filter((source) => !existsSync(join(ROOT, source)))).toEqual([]);

    const [first, ...lines] = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(first).toBe('*');
    const allowed = lines.flatMap((line) => (line.startsWith('!') ? line.slice(1) : []));
    expect(allowed.sort()).toEqual([...new Set(sources)].sort());
  });

  it('keeps every package that the server imports', () => {
    const [module, server] = ['package.json', 'server/package.json'].map(
      (path) => (JSON.parse(read(path)) as Record<string, Record<string, string>>).dependencies,
    );
    const kept = Object.keys({ ...module, ...server });
    // TypeORM loads these by the type of the database, so no import names them.
    expect(kept).toEqual(expect.arrayContaining(['better-sqlite3', 'mysql2', 'pg']));

    const imported = ['src', 'server/src']
      .flatMap(sourceFiles)
      .flatMap((file) => packagesOf(read(file)));
    expect(imported).toContain('@nestjs/core');
    expect([...new Set(imported)].filter((name) => !kept.includes(name))).toEqual([]);
  });

  it('tries the server out before there is an image of it', () => {
    expect(all(build, 'RUN').at(-1)?.words).toBe('node docker/smoke-test.mjs');
  });

  it('runs the server as a user who is not root, and as process 1', () => {
    const [user] = only(runtime, 'USER').words.split(':');
    expect(Number(user)).toBeGreaterThan(0);
    // The JSON form: a shell in between would keep SIGTERM to itself.
    const command = JSON.parse(only(runtime, 'CMD').words) as string[];
    expect(command).toEqual([
      'node',
      '--enable-source-maps',
      '--max-semi-space-size=4',
      '--heap-growing-percent=40',
      'server/dist/main.js',
    ]);
    expect(existsSync(join(ROOT, 'server/src/main.ts'))).toBe(true);
  });

  it('checks the health of the port that it serves on', () => {
    const env = only(runtime, 'ENV').words;
    expect(env).toContain('NODE_ENV=production');
    expect(env).toContain(`PORT=${only(runtime, 'EXPOSE').words}`);
    const { words } = only(runtime, 'HEALTHCHECK');
    const test = JSON.parse(words.slice(words.indexOf('['))) as string[];
    expect(test.slice(0, 2)).toEqual(['node', '-e']);
    expect(test[2]).toContain("'http://127.0.0.1:' + process.env.PORT + '/health/live'");
    expect(read('server/src/health/health.controller.ts')).toContain("@Get('live')");
  });

  it('sets only variables that the server reads', () => {
    const names = [...only(runtime, 'ENV').words.matchAll(/(\S+?)=/g)].map(([, name]) => name!);
    expect(names).toContain('DATABASE_URL');
    expect(names.filter((name) => name !== 'NODE_ENV').filter(unread)).toEqual([]);
  });
});

describe('the README', () => {
  it('runs commands that are in the image, of a service and in a network that there are', () => {
    const readme = read('docker/README.md');
    const commands = [
      ...readme.matchAll(/exec (?:-T )?(\S+) (?:node|sh -c .*\n.*exec node) (\S+)/g),
    ];
    expect(commands.length).toBeGreaterThan(3);
    for (const [, service, program] of commands) {
      expect(Object.keys(compose.services)).toContain(service);
      expect(program).toBe('server/bin/room-keys-server.js');
    }
    expect(existsSync(join(ROOT, 'server/bin/room-keys-server.js'))).toBe(true);
    expect(all(runtime, 'COPY').map(({ words }) => words)).toContain(
      '--from=build /app/server/dist ./server/dist',
    );
    expect(readme).toContain(`docker network connect ${compose.name}_default `);
    // what reports and imports from a pipe are written to
    expect(compose.services['room-keys'].tmpfs).toContain('/tmp');
  });
});

describe('compose.yml', () => {
  it('builds the Dockerfile beside it from the root of the repository', () => {
    const { context, dockerfile: file } = compose.services['room-keys'].build!;
    expect(join(ROOT, 'docker', context, file)).toBe(join(ROOT, 'docker/Dockerfile'));
  });

  it('sets only variables that the server reads', () => {
    const names = Object.keys(compose.services['room-keys'].environment);
    expect(names).toEqual(expect.arrayContaining(['DATABASE_URL', 'HOMESERVER_URL']));
    expect(names.filter(unread)).toEqual([]);
  });

  it.each(services)('checks the health of %s', (_name, { healthcheck }) => {
    expect(healthcheck.test[0]).toMatch(/^CMD(-SHELL)?$/);
    expect(healthcheck.test.every((word) => typeof word === 'string')).toBe(true);
    expect(healthcheck).toMatchObject({
      interval: expect.stringMatching(/^\d+s$/),
      timeout: expect.stringMatching(/^\d+s$/),
      retries: expect.any(Number),
    });
  });

  it('starts the server when MySQL is healthy', () => {
    expect(compose.services['room-keys'].depends_on).toEqual({
      mysql: { condition: 'service_healthy' },
    });
    expect(compose.services['room-keys'].healthcheck.test.join(' ')).toContain('/health/ready');
  });

  it('takes every password from a file that git and the image do not see', () => {
    expect(Object.keys(compose.secrets)).not.toHaveLength(0);
    for (const { file } of Object.values(compose.secrets)) expect(dirname(file)).toBe('secrets');
    expect(read('docker/.gitignore').split('\n')).toContain('/secrets/');
    expect(read('.dockerignore')).not.toMatch(/^!.*secrets/m);

    for (const [, { environment, secrets }] of services) {
      for (const secret of secrets) expect(compose.secrets).toHaveProperty(secret);
      for (const [name, value] of Object.entries(environment)) {
        if (!name.includes('PASSWORD')) continue;
        expect(name).toMatch(/_FILE$/);
        expect(secrets.map((secret) => `/run/secrets/${secret}`)).toContain(value);
      }
    }
    const url = new URL(compose.services['room-keys'].environment.DATABASE_URL!);
    const { MYSQL_USER, MYSQL_DATABASE } = compose.services.mysql.environment;
    expect([url.username, url.password, url.pathname]).toEqual([
      MYSQL_USER,
      '',
      `/${MYSQL_DATABASE!}`,
    ]);
    expect(url.hostname).toBe('mysql');
  });

  it('keeps the data in a volume with a name', () => {
    expect(compose.services.mysql.volumes).toEqual(['mysql-data:/var/lib/mysql']);
    expect(Object.keys(compose.volumes)).toEqual(['mysql-data']);
  });

  it('gives MySQL room for the largest request that the server takes', () => {
    const command = compose.services.mysql.command!.join(' ');
    const mebibytes = Number(/--max-allowed-packet=(\d+)M/.exec(command)?.[1]);
    expect(command).toContain('--character-set-server=utf8mb4');
    // 16 MiB by default; escaping at worst doubles it.
    expect(mebibytes).toBeGreaterThan(2 * 16);
  });

  it('shows the server to this machine only, and lets it do no more than serve', () => {
    const server = compose.services['room-keys'];
    const port = only(runtime, 'EXPOSE').words;
    expect(server.ports).toEqual([`127.0.0.1:${port}:${port}`]);
    expect(compose.services.mysql.ports).toBeUndefined();
    expect(server).toMatchObject({ read_only: true, cap_drop: ['ALL'] });
    for (const [, { security_opt }] of services) {
      expect(security_opt).toEqual(['no-new-privileges:true']);
    }
    // Every volume of the image has a place, or each container would get an anonymous one.
    expect(server.tmpfs).toContain(only(runtime, 'VOLUME').words);
  });
});

function read(path: string): string {
  if (!existsSync(join(ROOT, path))) throw new Error(`${path} is missing: this test reads it.`);
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The instructions of a Dockerfile, continued lines joined, without comments. */
function instructions(text: string): Instruction[] {
  return text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, keyword, words] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      if (keyword === undefined || words === undefined) throw new Error(`Not understood: ${line}`);
      return { keyword, words: words.replaceAll(/\s+/g, ' ').trim() };
    });
}

function stages(list: Instruction[]): Instruction[][] {
  const starts = list.flatMap(({ keyword }, index) => (keyword === 'FROM' ? index : []));
  return starts.map((start, index) => list.slice(start, starts[index + 1]));
}

function all(list: Instruction[], keyword: string): Instruction[] {
  return list.filter((instruction) => instruction.keyword === keyword);
}

function only(list: Instruction[], keyword: string): Instruction {
  const [instruction, ...more] = all(list, keyword);
  if (!instruction || more.length > 0) {
    throw new Error(`A stage with ${more.length + (instruction ? 1 : 0)} × ${keyword}, not one.`);
  }
  return instruction;
}

/** Whether the server's settings do not know this variable. */
function unread(name: string): boolean {
  const setting = (SETTINGS as Record<string, Setting>)[name.replace(/_FILE$/, '')];
  return !setting || (name.endsWith('_FILE') && !setting.secret);
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts'))
    .map((path) => join(folder, path));
}

/** The packages that a module loads when it runs; types are gone by then. */
function packagesOf(source: string): string[] {
  const statements =
    /^(?:import|export)(?! type\b)(?:[\w\s{},*]*\bfrom)? '([^']+)'|\bimport\('([^']+)'\)/gm;
  return [...source.matchAll(statements)]
    .map(([, from, dynamic]) => from ?? dynamic!)
    .filter((specifier) => !/^(?:\.|node:)/.test(specifier))
    .map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'));
}
