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
const UNITS = [
  'room-keys.service',
  'room-keys-closed-accounts.service',
  'room-keys-closed-accounts.timer',
];
/** Ten times what docs/deploying.md gives as the exposure. */
const MOST_EXPOSED = 13;

const program = serverProgram('systemd-analyze', 'systemd');

(program === undefined ? describe.skip : describe)('the units of systemd', () => {
  it('are valid', () => {
    const folder = mkdtempSync(join(tmpdir(), 'room-keys-unit-'));
    try {
      // the Node that there is: the one of the unit may be elsewhere on this machine
      const units = UNITS.map((name) => {
        const text = readFileSync(join(SYSTEMD, name), 'utf8');
        writeFileSync(join(folder, name), text.replace('=/usr/bin/node ', `=${process.execPath} `));
        return join(folder, name);
      });
      const verify = () => execFileSync(program!, ['verify', ...units], { encoding: 'utf8' });
      expect(verify()).toBe('');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each(UNITS.filter((name) => name.endsWith('.service')))('%s may do little', (name) => {
    const unit = join(SYSTEMD, name);
    const parameters = ['security', '--offline=true', `--threshold=${MOST_EXPOSED}`, unit];
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
