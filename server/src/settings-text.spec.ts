/**
 * Proves that docs/settings.md and `--help` say of each setting what the table of settings says, and that
 * `--check-config` shows what is set without giving a secret away.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment, type Variables } from './environment.js';
import { settingRows } from './settings.js';
import { checkConfig, settingsHelp, settingsMarkdown } from './settings-text.js';

it('docs/settings.md has all of them: `npm run settings` writes it', () => {
  const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  expect(page.slice(page.indexOf('\n## ') + 1)).toBe(`${settingsMarkdown()}\n`);
  for (const [name] of settingRows) expect(page).toContain(`\n### \`${name}\`\n`);
});

describe('each setting', () => {
  it.each(settingRows)('%s is documented in a line, with a default and an example', (name, row) => {
    expect(row.doc).toMatch(/^\S.{5,150}[^.\s]$/);
    // one or the other: what a setting without a default does is said in words
    expect(Object.hasOwn(row, 'default')).not.toBe(Object.hasOwn(row, 'unset'));
    const help = settingsHelp();
    const start = help.indexOf(`\n${name}\n`);
    expect(start).toBeGreaterThan(0);
    const [entry = ''] = help.slice(start).split('\n\n');
    expect(entry).toContain(row.doc.replaceAll('`', ''));
    expect(entry).toContain((row.default ?? row.unset!).replaceAll('`', ''));
    expect(entry).toContain(`${name}=${row.example}`);
    expect(entry.includes(`${name}_FILE=`)).toBe(row.secret ?? false);
  });

  it.each(settingRows)('%s takes its example', (_, { example, kind }) => {
    expect(() => kind(example)).not.toThrow();
  });
});

describe('--check-config', () => {
  const variables: Variables = {
    PATH: '/bin',
    DATABASE_URL: 'mysql://user:hunter2@host/database',
    HOMESERVER_URL: 'http://synapse:8008',
    HOST: '',
    DATABASE_URI: 'hunter2',
  };

  it('shows what is set, but no secret', () => {
    const text = checkConfig(variables);
    expect(text).toMatch(/^The settings are valid\.\n/);
    expect(text).toContain('\n  HOMESERVER_URL=http://synapse:8008\n');
    expect(text).toContain('\n  DATABASE_URL=… (not shown)\n');
    expect(text).not.toContain('hunter2');
    expect(text).not.toMatch(/HOST=|PATH/);
  });

  it('reports names that are not settings', () => {
    expect(checkConfig(variables)).toContain(
      '\nDATABASE_URI is not a setting and is ignored; DATABASE_URL is used.\n',
    );
  });

  it('remarks on settings that do nothing', () => {
    expect(checkConfig({ RATE_LIMIT: 'off', REDIS_URL: 'redis://redis' })).toMatch(
      /^REDIS_URL has no effect with RATE_LIMIT=off\. Set .*\.$/m,
    );
  });

  it('names the file of a secret', () => {
    const folder = mkdtempSync(join(tmpdir(), 'room-keys-settings-'));
    try {
      const file = join(folder, 'url');
      writeFileSync(file, 'mysql://user:hunter2@host/database');
      const text = checkConfig({ DATABASE_URL_FILE: file });
      expect(text).toContain(`\n  DATABASE_URL_FILE=${file}\n`);
      expect(text).not.toContain('hunter2');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses what the server would refuse, in the same words', () => {
    const bad = { PORT: 'eighty', HOST: '0.0.0.0' };
    const messages = [readEnvironment, checkConfig].map((read) => {
      try {
        return read(bad);
      } catch (error) {
        return (error as Error).message;
      }
    });
    expect(messages[0]).toMatch(/^PORT is /);
    expect(messages[1]).toBe(messages[0]);
  });
});
