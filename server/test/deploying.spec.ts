/**
 * Proves of docs/systemd what can be proved without systemd as process 1: that the unit is valid and as
 * closed as docs/deploying.md says, and that the server takes the settings beside it.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readEnvironment } from '../src/environment.js';
import { serverProgram } from './proxy/processes.js';

const SYSTEMD = resolve(import.meta.dirname, '../../docs/systemd');
const UNIT = join(SYSTEMD, 'room-keys.service');
/** Ten times what docs/deploying.md gives as the exposure. */
const MOST_EXPOSED = 13;

const program = serverProgram('systemd-analyze', 'systemd');

(program === undefined ? describe.skip : describe)('the unit of systemd', () => {
  it('is valid', () => {
    const folder = mkdtempSync(join(tmpdir(), 'room-keys-unit-'));
    try {
      // the Node that there is: the one of the unit may be elsewhere on this machine
      const unit = join(folder, 'room-keys.service');
      const text = readFileSync(UNIT, 'utf8').replace('=/usr/bin/node ', `=${process.execPath} `);
      writeFileSync(unit, text);
      expect(execFileSync(program!, ['verify', unit], { encoding: 'utf8', stdio: 'pipe' })).toBe(
        '',
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('lets the server do little', () => {
    const parameters = ['security', '--offline=true', `--threshold=${MOST_EXPOSED}`, UNIT];
    // it ends with an error above the threshold
    expect(() => execFileSync(program!, parameters, { stdio: 'pipe' })).not.toThrow();
  });
});

describe('room-keys.env', () => {
  const lines = readFileSync(join(SYSTEMD, 'room-keys.env'), 'utf8').split('\n');
  const variables = (pattern: RegExp): Record<string, string> =>
    Object.fromEntries(
      lines.flatMap((line) => {
        const [, name, value] = pattern.exec(line) ?? [];
        return name === undefined || value === undefined ? [] : [[name, value]];
      }),
    );

  it('is taken by the server', () => {
    const { DATABASE_PASSWORD_FILE, ...set } = variables(/^([A-Z_]+)=(.*)$/);
    expect(DATABASE_PASSWORD_FILE).toMatch(/^\/etc\/room-keys\//);
    expect(readEnvironment(set)).toMatchObject({
      homeserver: { homeserverUrl: 'http://127.0.0.1:8008/' },
      host: '127.0.0.1',
    });
  });

  it('is taken with SQLite as the documentation has it changed', () => {
    const deploying = readFileSync(resolve(SYSTEMD, '../deploying.md'), 'utf8');
    const [, expressions = ''] =
      /^sed -i (.*) \/etc\/room-keys\/room-keys\.env$/m.exec(deploying) ?? [];
    const folder = mkdtempSync(join(tmpdir(), 'room-keys-env-'));
    try {
      const file = join(folder, 'room-keys.env');
      writeFileSync(file, lines.join('\n'));
      execFileSync('sh', ['-c', `sed -i ${expressions} "$1"`, 'sh', file]);
      const set = readFileSync(file, 'utf8').matchAll(/^([A-Z_]+)=(.*)$/gm);
      const changed = Object.fromEntries([...set].map(([, name, value]) => [name, value]));
      expect(changed).not.toHaveProperty('DATABASE_PASSWORD_FILE');
      expect(readEnvironment(changed)).toMatchObject({
        databaseUrl: { href: 'sqlite:/var/lib/room-keys/room-keys.db' },
        homeserver: { homeserverUrl: 'http://127.0.0.1:8008/' },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is taken with what is commented out in place of it', () => {
    const { databaseUrl, metricsPort, redisUrl } = readEnvironment({
      ...variables(/^([A-Z_]+)=(.*)$/),
      ...variables(/^#([A-Z_]+)=(.*)$/),
      DATABASE_PASSWORD_FILE: undefined,
    });
    expect(databaseUrl.href).toBe('sqlite:/var/lib/room-keys/room-keys.db');
    expect({ metricsPort, redis: redisUrl?.href }).toEqual({
      metricsPort: 9464,
      redis: 'redis://127.0.0.1:6379',
    });
  });
});
