/** Proves that the benchmark measures what it says, from the command line to its files, and that a server which answers wrongly stops it. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Effect } from '../bench/neighbours/samples.js';
import { databases } from './support/databases.js';

const run = promisify(execFile);
const postgres = databases.filter(({ name }) => name === 'PostgreSQL');
const root = resolve(import.meta.dirname, '..');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'room-keys-bench-spec-'));
  await run(process.execPath, [join(root, 'scripts/build-if-needed.mjs')], { cwd: root });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const bench = (...args: string[]) =>
  run(
    process.execPath,
    [
      ...['--import', 'tsx', join(root, 'bench/main.ts')],
      ...[
        '--database',
        `sqlite:${folder}`,
        '--keys',
        '5000',
        '--warm-up',
        '1',
        '--rest',
        '4',
        ...args,
      ],
    ],
    { cwd: root },
  );

it('writes a table, JSON and a plot', async () => {
  const json = join(folder, 'results.json');
  const svg = join(folder, 'plot.svg');
  const { stdout } = await bench(
    ...['--large', '10000', '--stages', 'compare,crowd,large', '--json', json, '--plot', svg],
  );
  expect(stdout).toMatch(/\| fill from 0 to 1,000 +\|/);
  const results = JSON.parse(await readFile(json, 'utf8'));
  expect(results.phases.map(({ id }: { id: string }) => id)).toEqual([
    ...['fill-first', 'replace', 'fill-rest', 'same', 'one', 'version'],
    ...['read-one', 'read-room', 'read-all', 'delete', 'crowd'],
  ]);
  for (const { times } of results.phases) {
    expect(Object.keys(times).sort()).toEqual(['floor', 'ours']);
    expect(times.ours.median).toBeGreaterThan(0);
  }
  expect(results.large.series.at(-1).stored).toBeLessThanOrEqual(10_000);
  expect(results.large.restores.map(({ bytes }: { bytes: number }) => bytes > 8e6)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(await readFile(svg, 'utf8')).toMatch(/^<svg [^]*<polyline class="ours" points="\d/);
});

it('measures a database that many users fill', async () => {
  const json = join(folder, 'users.json');
  await bench(...['--stages', 'users', '--users-keys', '10000', '--rest', '1', '--json', json]);
  const { phases } = JSON.parse(await readFile(json, 'utf8'));
  expect(phases.map(({ id }: { id: string }) => id)).toEqual(
    [0, 1, 2].flatMap((n) => ['read-one', 'upload', 'restore'].map((what) => `users-${what}-${n}`)),
  );
  for (const { stored } of phases.slice(6)) expect(stored).toBeGreaterThan(10_000);
});

it.each(postgres)('measures $name beside the bare driver', async ({ create }) => {
  const database = await create();
  const json = join(folder, 'server.json');
  await bench(
    ...['--database', database.url, '--stages', 'compare,large', '--large', '5000'],
    ...['--json', json],
  );
  await database.drop();
  const { phases, large } = JSON.parse(await readFile(json, 'utf8'));
  expect(phases).toHaveLength(10);
  for (const { times } of phases) {
    expect(times.ours.median).toBeGreaterThan(0);
    expect(times.floor.median).toBeGreaterThan(0);
  }
  expect(large.table.data).toBeGreaterThan(800 * large.keys);
  expect(large.table.index).toBeGreaterThan(40 * large.keys);
});

it('measures what other users notice of a busy one', async () => {
  const json = join(folder, 'neighbours.json');
  const { stdout } = await bench(
    ...['--stages', 'neighbours', '--json', json, '--measure', '1'],
    ...['--room', '5000', '--large-room', '5000', '--slow-backup', '5000'],
  );
  expect(stdout).toMatch(/\| GET version beside 400 open uploads +\|/);
  expect(stdout).toMatch(/\| readiness meanwhile +\| +always 200 \|/);
  const { sizes, limited, ours, peer } = JSON.parse(await readFile(json, 'utf8')).neighbours;
  expect(sizes.room).toBe(5000);
  expect(peer).toBeUndefined();
  expect(ours.uploads.map(({ connections }: { connections: number }) => connections)).toEqual([
    40, 400,
  ]);
  for (const { statuses, effects } of [limited, ...ours.uploads]) {
    expect(statuses[200]).toBeGreaterThan(0);
    expect(Object.keys(effects)).toEqual(['version', 'upload', 'restore']);
    for (const { alone, busy } of Object.values<Effect>(effects)) {
      expect(alone).toMatchObject({ failures: 0, statuses: { 200: alone.samples } });
      expect(busy.longest).toBeGreaterThan(0);
    }
  }
  expect(ours.manyUsers.statuses).toEqual({ 200: 2000 });
  expect(ours.manyUsers.version.busy.p99).toBeGreaterThan(0);
  expect(ours.slowRestores.restore.alone.samples).toBe(16);
  expect(ours.slowRestores.restore.busy.samples).toBe(8);
  expect(ours.deletion).toMatchObject({ keys: 5000, delete: { status: '200' } });
  expect(ours.room.one).toBeGreaterThan(0);
  expect(ours.largeBodies.map(({ filling }: { filling: string }) => filling)).toEqual([
    ...['apostrophes', 'backslashes', 'quotes', 'é', 'x'],
  ]);
  for (const { bytes, status, idle, peak } of ours.largeBodies) {
    expect(bytes).toBeGreaterThan(14_999_990);
    expect(status).toBe('200');
    expect(peak).toBeGreaterThan(idle);
  }
});

describe('with a peer that is wrong', () => {
  let peer: Server;
  let stored: unknown;
  const as = async () => {
    const { port } = peer.address() as AddressInfo;
    return bench(
      ...['--stages', 'compare', '--peer', `http://127.0.0.1:${port}`, '--peer-tokens', 't'],
    );
  };
  beforeAll(async () => {
    peer = createServer((request, response) => {
      request.resume().on('end', () => {
        response.end(JSON.stringify(request.method === 'POST' ? { version: '1' } : stored));
      });
    }).listen(0, '127.0.0.1');
    await once(peer, 'listening');
  });
  afterAll(() => peer.close());

  it.each([
    ['counts keys that it was not sent', { count: 7, etag: '1' }],
    ['answers something else', { ok: true }],
  ])('stops when it %s', async (_, answer) => {
    stored = answer;
    await expect(as()).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('The benchmark stops, since an answer is wrong: peer'),
    });
  });
});
