/** Proves which settings are reported as ineffective beside the others, and which are not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { idleSettings } from './ineffective-settings.js';
import { SETTINGS, settingRows } from './settings.js';

const HOMESERVER_URL = 'https://matrix.example.org';
const LIMITS_INFO_URI = 'https://example.org/limits';
const INTROSPECTION = {
  INTROSPECTION_URL: 'https://auth.example.org/oauth2/introspect',
  INTROSPECTION_CLIENT_ID: '0000000000000000000ROOMKEYS',
  INTROSPECTION_CLIENT_SECRET: 'hunter2',
  SERVER_NAME: 'example.org',
};

it.each([
  [{ HOST: '/run/api.sock', PORT: '80' }, 'PORT has', 'HOST'],
  [{ SOCKET_MODE: '0666' }, 'SOCKET_MODE has', 'HOST'],
  [{ RATE_LIMIT: 'off', REDIS_URL: 'redis://:hunter2@redis' }, 'REDIS_URL has', 'RATE_LIMIT=on'],
  [{ RATE_LIMIT: 'off', RATE_LIMIT_EXEMPT: '@a:b' }, 'RATE_LIMIT_EXEMPT has', 'RATE_LIMIT=on'],
  [
    { RATE_LIMIT: 'off', RATE_LIMIT_WRITES_BURST: '0', RATE_LIMIT_READS_PER_SECOND: '1' },
    'RATE_LIMIT_READS_PER_SECOND, RATE_LIMIT_WRITES_BURST have',
    'RATE_LIMIT=on',
  ],
  [
    { RATE_LIMIT: 'off', RATE_LIMIT_WRITES_PER_SECOND: '9', RATE_LIMIT_READS_BURST: '1' },
    'RATE_LIMIT_READS_BURST, RATE_LIMIT_WRITES_PER_SECOND have',
    'RATE_LIMIT=on',
  ],
  [{ TOKEN_CHECK_TIMEOUT_MS: '9' }, 'TOKEN_CHECK_TIMEOUT_MS has', 'HOMESERVER_URL or '],
  [
    { TOKEN_CACHE_MAX: '9', TOKEN_CACHE_TTL_MS: '0' },
    'TOKEN_CACHE_TTL_MS, TOKEN_CACHE_MAX have',
    'HOMESERVER_URL or ',
  ],
  [{ TOKEN_CHECKS_AT_ONCE: '9' }, 'TOKEN_CHECKS_AT_ONCE has', 'HOMESERVER_URL or '],
  [{ HOMESERVER_URL, SERVER_NAME: 'example.org' }, 'SERVER_NAME has', 'INTROSPECTION_URL'],
  [
    { REQUEST_TIMEOUT_MS: '20000', BODY_IDLE_TIMEOUT_MS: '20001' },
    'BODY_IDLE_TIMEOUT_MS has',
    'REQUEST_TIMEOUT_MS',
  ],
  [{ MAX_SESSION_DATA_BYTES: '16777217' }, 'MAX_SESSION_DATA_BYTES has', 'MAX_BODY_BYTES'],
  [{ MAX_AUTH_DATA_BYTES: '16777217' }, 'MAX_AUTH_DATA_BYTES has', 'MAX_BODY_BYTES'],
  [
    { LIMITS_INFO_URI, MAX_SESSION_DATA_BYTES: '9' },
    'LIMITS_INFO_URI has',
    'MAX_KEYS_PER_BACKUP, ',
  ],
  [{ LOG_USER_IDS: 'true', LOG_LEVEL: 'error' }, 'LOG_USER_IDS has', 'LOG_LEVEL=info'],
])('of %j it is told, and what to set', (variables, subject, advice) => {
  const [sentence = '', ...more] = idleSettings(variables);
  expect(more).toEqual([]);
  expect(sentence).toMatch(
    /^[A-Z_, ]+ (has|have) no effect [^\n]+\. Set [^\n]+, or remove (it|them)\.$/,
  );
  expect(sentence.startsWith(`${subject} no effect `)).toBe(true);
  expect(sentence).toContain(advice);
  expect(sentence).not.toContain('hunter2');
});

it.each([
  {},
  { RATE_LIMIT: 'off' },
  { RATE_LIMIT: 'off', REDIS_URL: '' },
  { RATE_LIMIT: 'on', REDIS_URL: 'redis://redis', RATE_LIMIT_EXEMPT: '@a:b' },
  { HOMESERVER_URL, TOKEN_CHECK_TIMEOUT_MS: '9', TOKEN_CACHE_TTL_MS: '0' },
  { HOMESERVER_URL, TOKEN_CHECKS_AT_ONCE: '9' },
  { HOMESERVER_URL, TOKEN_CACHE_TTL_MS: '1', TOKEN_CACHE_MAX: '9' },
  // the accepted tokens that are checked before others
  { HOMESERVER_URL, TOKEN_CACHE_TTL_MS: '0', TOKEN_CACHE_MAX: '9' },
  { ...INTROSPECTION, TOKEN_CHECK_TIMEOUT_MS: '9', TOKEN_CACHE_MAX: '9' },
  // the default is longer, but was not set explicitly
  { REQUEST_TIMEOUT_MS: '20000' },
  { REQUEST_TIMEOUT_MS: '20000', BODY_IDLE_TIMEOUT_MS: '20000' },
  { MAX_SESSION_DATA_BYTES: '16777216', MAX_AUTH_DATA_BYTES: '16777216' },
  { LIMITS_INFO_URI, MAX_KEYS_PER_BACKUP: '9' },
  { LIMITS_INFO_URI, MAX_BYTES_PER_USER: '9' },
  { LIMITS_INFO_URI, MAX_BACKUPS_PER_USER: '9' },
  { LOG_USER_IDS: 'true', LOG_LEVEL: 'warn' },
  { LOG_USER_IDS: 'false', LOG_LEVEL: 'error' },
])('of %j nothing is told', (variables) => {
  expect(idleSettings(variables)).toEqual([]);
});

it('the file of a secret is reported by its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'room-keys-settings-'));
  try {
    const file = join(folder, 'redis');
    writeFileSync(file, 'redis://:hunter2@redis');
    expect(idleSettings({ RATE_LIMIT: 'off', REDIS_URL_FILE: file })).toEqual([
      expect.stringMatching(/^REDIS_URL_FILE has no effect /),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('all settings of the rate limits are reported', () => {
  const limits = settingRows.map(([name]) => name).filter((name) => name.startsWith('RATE_LIMIT_'));
  const examples = Object.fromEntries(limits.map((name) => [name, SETTINGS[name].example]));
  const [sentence] = idleSettings({ ...examples, RATE_LIMIT: 'off' });
  expect(sentence).toMatch(new RegExp(`^${limits.join(', ')} have no effect `));
});
