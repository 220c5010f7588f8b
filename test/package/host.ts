import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Running, startServer } from '../../server/test/proxy/processes.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HOSTS = fileURLToPath(new URL('hosts', import.meta.url));
const SCAFFOLDS = fileURLToPath(new URL('scaffolds', import.meta.url));
/** What a test need not do: compile drivers, ask for advisories. */
const INSTALL = ['--ignore-scripts', '--no-audit', '--no-fund'];
const require = createRequire(import.meta.url);
const execute = promisify(execFile);

/** What Nest's own templates set, and that declarations of packages are checked too. */
const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    lib: ['es2024'],
    module: 'nodenext',
    moduleResolution: 'nodenext',
    types: ['node'],
    esModuleInterop: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    strict: true,
    skipLibCheck: false,
    rootDir: 'src',
    outDir: 'dist',
  },
  include: ['src'],
};

/** The modules of an application: `esm` for import, `cjs` for require. */
export type ModuleKind = 'esm' | 'cjs';

/** What a package.json has, as far as it is read here. */
interface Manifest extends Record<string, unknown> {
  dependencies: Record<string, string>;
}

/** Whether npm gets an answer; where not, says so in one line, and in CI throws that. */
export async function registryAnswers(): Promise<boolean> {
  try {
    await npm(['view', '@nestjs/core', 'version', '--fetch-retries=0', '--fetch-timeout=20000']);
    return true;
  } catch (error) {
    if (process.env.CI) throw error;
    process.stderr.write('The package test is left out: npm gets no answer from its registry\n');
    return false;
  }
}

/** Packs the package, built where needed; returns the file, and what is in it. */
export async function pack(
  folder: string,
): Promise<{ file: string; files: string[]; size: number }> {
  await execute(process.execPath, ['scripts/build-if-needed.mjs'], { cwd: ROOT });
  const flags = ['--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = JSON.parse(await npm(['pack', ...flags], ROOT)) as [
    { filename: string; files: { path: string }[]; size: number },
  ];
  return {
    file: join(folder, packed.filename),
    files: packed.files.map(({ path }) => path),
    size: packed.size,
  };
}

/** A project outside the repository into which the packed package is installed. */
export class Host {
  /** @param dependencies names and ranges, beside the package itself */
  static create(packed: string, dependencies: Record<string, string>): Promise<Host> {
    return Host.install(packed, { name: 'host', private: true, type: 'module', dependencies });
  }

  /** A project of the repository that embeds the package, such as the example. */
  static async copy(packed: string, project: string): Promise<Host> {
    const manifest = JSON.parse(
      await readFile(join(ROOT, project, 'package.json'), 'utf8'),
    ) as Manifest;
    manifest.dependencies['better-sqlite3'] = versionOf('better-sqlite3');
    const host = await Host.install(packed, manifest);
    for (const name of ['src', 'tsconfig.json'])
      await cp(join(ROOT, project, name), join(host.folder, name), { recursive: true });
    return host;
  }

  /** A project as Nest's command line makes it, installed, and without the package yet. */
  static async scaffold(nestMajor: number): Promise<Host> {
    const files = JSON.parse(
      await readFile(join(SCAFFOLDS, `nest-${nestMajor}.json`), 'utf8'),
    ) as Record<string, string>;
    const host = new Host(await mkdtemp(join(tmpdir(), 'room-keys-host-')));
    for (const [path, text] of Object.entries(files)) await host.write(path, text);
    await npm(['install', '--prefer-offline', ...INSTALL], host.folder);
    return host;
  }

  private static async install(packed: string, manifest: Manifest): Promise<Host> {
    const host = new Host(await mkdtemp(join(tmpdir(), 'room-keys-host-')));
    const dependencies = { ...manifest.dependencies, 'nestjs-room-keys': `file:${packed}` };
    const text = JSON.stringify({ ...manifest, dependencies });
    await writeFile(join(host.folder, 'package.json'), text);
    await npm(['install', '--prefer-offline', ...INSTALL], host.folder);
    await host.takeBinary();
    return host;
  }

  private constructor(readonly folder: string) {}

  module(name: string, ...path: string[]): string {
    return join(this.folder, 'node_modules', name, ...path);
  }

  /** Compiles an application; throws what the compiler has to say. */
  async compile(kind: ModuleKind, sources: Record<string, string>): Promise<void> {
    const folder = join(this.folder, kind);
    await cp(HOSTS, join(folder, 'src'), { recursive: true });
    for (const [name, text] of Object.entries(sources))
      await writeFile(join(folder, 'src', name), text);
    const type = kind === 'esm' ? 'module' : 'commonjs';
    await writeFile(join(folder, 'package.json'), JSON.stringify({ type }));
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG));
    const compiler = this.module('typescript', 'bin', 'tsc');
    try {
      await execute(process.execPath, [compiler, '-p', folder], { cwd: folder });
    } catch (error) {
      throw new Error((error as { stdout: string }).stdout, { cause: error });
    }
  }

  async write(path: string, text: string): Promise<void> {
    const file = join(this.folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Installs packages beside the existing ones, as on the command line. */
  async add(packages: readonly string[]): Promise<void> {
    await npm(['install', ...INSTALL, ...packages], this.folder);
    await this.takeBinary();
  }

  /** Runs a program in it, and returns what it prints to stdout. */
  async node(...parameters: string[]): Promise<string> {
    return (await execute(process.execPath, parameters, { cwd: this.folder })).stdout.trim();
  }

  /** Runs a script of its package.json; returns what it prints, and throws that where it fails. */
  async script(name: string): Promise<string> {
    try {
      return await npm(['run', name], this.folder);
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(stdout + stderr, { cause: error });
    }
  }

  /** Starts what was compiled, by the name of its module; throws what it says where it does not start. */
  start(kind: ModuleKind, module: string): Promise<Running> {
    const dist = join(this.folder, kind, 'dist');
    const parameters = [join(dist, 'main.js'), join(dist, module)];
    return startServer(parameters, /^listens at (\S+)$/m, { cwd: this.folder, env: {} });
  }

  /**
   * Runs test files of the repository here, given by their paths below test/: what they import from its
   * sources is the package.
   */
  async test(
    specs: readonly string[],
    databases: object,
  ): Promise<{ specs: string[]; failed: number; said: string }> {
    for (const folder of new Set(['support', ...specs.map((path) => dirname(path))]))
      await cp(join(ROOT, 'test', folder), join(this.folder, 'test', folder), { recursive: true });
    const config = `
      import config from ${JSON.stringify(join(ROOT, 'jest.config.js'))};
      const [[pattern, [, options]]] = Object.entries(config.transform);
      export default {
        ...config,
        rootDir: import.meta.dirname,
        testMatch: ${JSON.stringify(specs.map((path) => `<rootDir>/test/${path}`))},
        moduleNameMapper: {
          '^(?:\\\\.\\\\./)+src/index\\\\.js$': 'nestjs-room-keys',
          '^(?:\\\\.\\\\./)+src/(rate-limits|testing)\\\\.js$': 'nestjs-room-keys/$1',
          '^(?:\\\\.\\\\./)+src/(access-tokens|operations)/index\\\\.js$': 'nestjs-room-keys/$1',
          // what a suite has to be impatient for, in the same modules
          '^(?:\\\\.\\\\./)+src/(.*)\\\\.js$': '<rootDir>/node_modules/nestjs-room-keys/dist/$1.js',
          '^(\\\\.{1,2}/.*)\\\\.js$': ['$1.js', '$1.ts'],
        },
        transform: { [pattern]: [${JSON.stringify(require.resolve('@swc/jest'))}, options] },
        globalSetup: undefined,
        globalTeardown: undefined,
      };`;
    await writeFile(join(this.folder, 'jest.config.mjs'), config);
    const jest = join(dirname(require.resolve('jest/package.json')), 'bin', 'jest.js');
    const { stdout, stderr } = await execute(
      process.execPath,
      ['--experimental-vm-modules', jest, '--json', '--silent'],
      {
        cwd: this.folder,
        env: { ...process.env, ROOM_KEYS_TEST_RUN: JSON.stringify(databases) },
        maxBuffer: 64 * 1024 * 1024,
      },
    ).catch((error: unknown) => error as { stdout: string; stderr: string });
    const report = JSON.parse(stdout) as {
      numFailedTests: number;
      numRuntimeErrorTestSuites: number;
      testResults: { name: string }[];
    };
    return {
      specs: report.testResults.map(({ name }) => relative(join(this.folder, 'test'), name)),
      failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
      said: stderr,
    };
  }

  /** Does something while packages, or parts of one, are away. */
  async without(names: string[], work: () => Promise<void>): Promise<void> {
    const away = join(this.folder, 'away');
    await mkdir(away);
    const moved: [from: string, to: string][] = [];
    try {
      for (const name of names) {
        // a dependency of the package may lie below it
        const places = [this.module(name), this.module('nestjs-room-keys', 'node_modules', name)];
        const found = places.filter((path) => existsSync(path));
        if (found.length === 0) throw new Error(`There is no ${name} in ${this.folder}`);
        for (const from of found) {
          const to = join(away, String(moved.length));
          await rename(from, to);
          moved.push([from, to]);
        }
      }
      await work();
    } finally {
      for (const [from, to] of moved) await rename(to, from);
      await rm(away, { recursive: true });
    }
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** The compiled part of better-sqlite3, which takes a minute to compile. */
  private async takeBinary(): Promise<void> {
    const path = ['build', 'Release', 'better_sqlite3.node'];
    const repository = dirname(require.resolve('better-sqlite3/package.json'));
    const { version } = JSON.parse(
      await readFile(this.module('better-sqlite3', 'package.json'), 'utf8'),
    ) as { version: string };
    if (version !== versionOf('better-sqlite3'))
      throw new Error(`better-sqlite3 ${version} is not what the repository has`);
    await cp(join(repository, ...path), this.module('better-sqlite3', ...path));
  }
}

/** The version of a package that the repository has. */
export function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version;
}

export async function npm(parameters: string[], cwd = ROOT): Promise<string> {
  // What npm tells the scripts that it runs is about this repository.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(?:package|lifecycle|config_local_prefix)/.test(name),
    ),
  );
  const { stdout } = await execute('npm', parameters, { cwd, env, timeout: 600_000 });
  return stdout;
}
