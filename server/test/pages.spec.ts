/**
 * Proves that the pages can be followed: their commands do what they say, their links lead somewhere, and they
 * stay short enough to be read. What stands after ```sh says how a block is tested:
 *
 * - `run`: it is run here, after those before it on the page, in a folder of its own;
 * - `server`: so is this, until the server that it starts serves the rest of the page;
 * - `run-by=PATH`: the spec of that path runs it;
 * - `not-run`: nothing runs it, since it needs what is not here.
 *
 * An `output` block is what the `run` block before it prints, but for `…`, which stands for anything, and for line
 * breaks, which curl does not print.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Block, linksOf, type Page, pages, root } from './pages.js';
import { buildCommands } from './cli/run-command.js';

const MARK = /^(?:run|server|not-run|run-by=\S+)$/;
/** The ports of the pages, which may be taken here. */
const PORTS = ['8090', '9464'];

const named = pages.map((page) => [page.path, page] as const);
const isShell = ({ language }: Block) => language === 'sh';
const isRunHere = ({ language, mark }: Block) => language === 'sh' && /^(?:run|server)$/.test(mark);
const runnable = named.filter(([, { blocks }]) => blocks.some(isRunHere));

describe.each(named)('%s', (path, page) => {
  it('says of each block of commands how it is tested', () => {
    for (const { mark, line } of page.blocks.filter(isShell)) {
      expect(`${path}:${line} ${mark}`).toMatch(new RegExp(`^\\S+ ${MARK.source.slice(1)}`));
    }
  });

  it('names specs that read it', async () => {
    for (const { mark } of page.blocks) {
      const [, spec] = /^run-by=(\S+)$/.exec(mark) ?? [];
      if (spec === undefined) continue;
      expect(await readFile(join(root, spec), 'utf8')).toContain(path.split('/').at(-1));
    }
  });

  it('has links that lead somewhere', () => {
    for (const { target, anchor } of linksOf(page)) {
      expect([target, existsSync(join(root, target))]).toEqual([target, true]);
      const anchors = pages.find((other) => other.path === target)?.anchors;
      if (anchors && anchor !== undefined) expect(anchors).toContain(anchor);
    }
  });
});

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '').length;

it.each(named)('%s is short enough to be read', (path, { text }) => {
  expect(words(text)).toBeLessThanOrEqual(2500);
  const tables = text.split('\n').filter((line) => /^ *\|/.test(line));
  expect(tables.filter(({ length }) => length > 120)).toEqual([]);
  if (path === 'README.md') expect(text.split('\n').length - 1).toBeLessThanOrEqual(150);
});

it('all pages together are too', () => {
  expect(pages.reduce((sum, { text }) => sum + words(text), 0)).toBeLessThanOrEqual(22_000);
});

describe('the commands', () => {
  let folder: string;
  let server: ChildProcess | undefined;

  beforeAll(buildCommands);
  beforeEach(async () => {
    folder = await checkout();
  });
  afterEach(async () => {
    if (server?.exitCode === null) {
      process.kill(-server.pid!, 'SIGTERM');
      await once(server, 'exit');
    }
    server = undefined;
    await rm(folder, { recursive: true, force: true });
  });

  it.each(runnable)('of %s do what it says', async (_, page) => {
    const free = await Promise.all(PORTS.map(freePort));
    const withFreePorts = (text: string) =>
      PORTS.reduce((result, port, at) => result.replaceAll(port, free[at]!), text);
    const environment = { PATH: path(), HOME: folder, PORT: free[0]! };

    const start = page.blocks.find(({ mark }) => mark === 'server');
    if (start) {
      // what the folder has already
      const script = withFreePorts(start.text).replaceAll(/^npm ci\n/gm, '');
      server = shell(script, folder, environment);
      await answers(`http://127.0.0.1:${free[0]!}/health/live`, server);
    }
    const { script, expected } = session(page);
    const { code, out } = await finished(shell(withFreePorts(script), folder, environment));
    expect({ code, out: withoutBreaks(out) }).toEqual({
      code: 0,
      out: expect.stringMatching(pattern(withFreePorts(expected))) as string,
    });
  });
});

/** The `run` blocks of a page as one script, which prints what the page shows, and what that is. */
function session({ blocks }: Page): { script: string; expected: string } {
  const shown = blocks.map((_, at) =>
    blocks[at + 1]?.mark === 'output' ? blocks[at + 1] : undefined,
  );
  const commands = blocks.flatMap(({ mark, text }, at) => {
    if (mark !== 'run') return [];
    return [shown[at] ? text : `{ ${text}} > /dev/null`];
  });
  return {
    script: ['set -e', ...commands].join('\n'),
    expected: shown.map((block) => block?.text ?? '').join(''),
  };
}

/** A folder that is like a fresh checkout after `npm ci`, without its data. */
async function checkout(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-page-'));
  const names = (await readdir(root)).filter((name) => !/^(?:data|node_modules|\..*)$/.test(name));
  for (const name of names) await symlink(join(root, name), join(folder, name));
  const programs = join(folder, 'node_modules/.bin');
  await mkdir(programs, { recursive: true });
  await symlink(join(root, 'server/bin/room-keys-server.js'), join(programs, 'room-keys-server'));
  return folder;
}

const path = () => [dirname(process.execPath), process.env.PATH].join(delimiter);

function shell(script: string, cwd: string, env: Record<string, string>): ChildProcess {
  const stdio = ['ignore', 'pipe', 'pipe'] as const;
  return spawn('bash', ['-c', script], { cwd, env, stdio: [...stdio], detached: true });
}

async function finished(child: ChildProcess): Promise<{ code: number | null; out: string }> {
  let out = '';
  let err = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`Exit code ${code}: ${err}`);
  return { code, out };
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  child.stdout!.resume();
  for (;;) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
    if (child.exitCode !== null) throw new Error('The server has ended.');
    await sleep(200);
  }
}

async function freePort(): Promise<string> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  listener.close();
  return String(port);
}

const withoutBreaks = (text: string) => text.replaceAll('\n', '');

function pattern(expected: string): RegExp {
  const literal = withoutBreaks(expected).replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${literal.replaceAll('…', '.*')}$`);
}
