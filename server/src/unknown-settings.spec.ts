/**
 * Proves which variables are taken for settings that are spelt wrong, and what is said of them; and
 * that those of other programs are left alone.
 */
import { readEnvironment } from './environment.js';
import { SettingError } from './setting-parsers.js';
import { settingRows } from './settings.js';
import { misspeltSettings } from './unknown-settings.js';

type Variables = Record<string, string | undefined>;

const refusals = (variables: Variables) =>
  misspeltSettings(variables).flatMap(({ refusal }) => refusal ?? []);
const remarks = (variables: Variables) =>
  misspeltSettings(variables).flatMap(({ remark }) => remark ?? []);

describe('a slip in the name of a setting', () => {
  it.each([
    ['DATABSE_URL', 'DATABASE_URL'],
    ['DATABASE_ULR', 'DATABASE_URL'],
    ['DATABASEURL', 'DATABASE_URL'],
    ['DATABASE_URI', 'DATABASE_URL'],
    ['DATBASE_ULR', 'DATABASE_URL'],
    ['database_url', 'DATABASE_URL'],
    ['DATABASE-URL', 'DATABASE_URL'],
    ['DATABASE_PASWORD_FILE', 'DATABASE_PASSWORD_FILE'],
    ['HOMESERVR_URL', 'HOMESERVER_URL'],
    ['MAX_KEY_PER_BACKUP', 'MAX_KEYS_PER_BACKUP'],
    ['DEV_TOKEN', 'DEV_TOKENS'],
  ])('stops the start: %s for %s', (name, setting) => {
    const sentence = `${name} is not a setting. Set ${setting}, or both if another program needs ${name}.`;
    expect(refusals({ [name]: 'hunter2' })).toEqual([sentence]);
    expect(() => readEnvironment({ [name]: 'hunter2' })).toThrow(new SettingError(sentence));
  });

  it('is only remarked on where the setting is there too, even if empty', () => {
    for (const value of ['', 'sqlite:a.db']) {
      const variables = { DATABASE_URI: 'x', DATABASE_URL: value };
      expect(refusals(variables)).toEqual([]);
      expect(remarks(variables)).toEqual([
        'DATABASE_URI is not a setting and is ignored; DATABASE_URL is used.',
      ]);
      expect(() => readEnvironment(variables)).not.toThrow();
    }
  });
});

describe('a name that begins like a setting', () => {
  it.each([
    ['TOKEN_CACHE_TTL', 'TOKEN_CACHE_TTL_MS, TOKEN_CACHE_MAX'],
    ['TOKEN_CACHE', 'TOKEN_CACHE_TTL_MS, TOKEN_CACHE_MAX'],
    ['MAX_BODY_SIZE', 'MAX_BODY_BYTES, MAX_BODY_BYTES_AT_ONCE'],
  ])('is remarked on: %s', (name, settings) => {
    expect(remarks({ [name]: '1' })).toEqual([
      `${name} is not a setting and is ignored. Settings with similar names: ${settings}.`,
    ]);
    expect(refusals({ [name]: '1' })).toEqual([]);
  });

  it('is reported if it names a file for a setting that is not a secret', () => {
    expect(remarks({ HOMESERVER_URL_FILE: '/run/secrets/a' })).toEqual([
      'HOMESERVER_URL_FILE is not a setting and is ignored: only secrets can be read from files. Set HOMESERVER_URL.',
    ]);
  });
});

describe('variables of other programs', () => {
  // of shells, systemd, npm, Node, Docker and Kubernetes links, CI, and of platforms and databases
  const FOREIGN = `
    PATH HOME HOSTNAME HOSTTYPE HOSTS LANG LC_ALL LOGNAME MAIL OLDPWD PWD SHELL SHLVL TERM TZ USER USERNAME _
    CREDENTIALS_DIRECTORY INVOCATION_ID JOURNAL_STREAM LISTEN_FDS LISTEN_PID LOGS_DIRECTORY MAINPID
    NOTIFY_SOCKET RUNTIME_DIRECTORY STATE_DIRECTORY SYSTEMD_EXEC_PID WATCHDOG_USEC
    INIT_CWD NODE NODE_ENV NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_VERSION UV_THREADPOOL_SIZE YARN_VERSION
    npm_command npm_config_cache npm_execpath npm_lifecycle_event npm_package_json npm_package_name
    KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR KUBERNETES_SERVICE_HOST ROOM_KEYS_PORT
    ROOM_KEYS_SERVICE_HOST ROOM_KEYS_SERVICE_PORT DATABASE_PORT DATABASE_SERVICE_HOST MYSQL_PORT_3306_TCP
    REDIS_HOST REDIS_PORT REDIS_PASSWORD MYSQL_DATABASE MYSQL_HOST MYSQL_PASSWORD MYSQL_PASSWORD_FILE MYSQL_URL
    POSTGRES_URL SYNAPSE_SERVER_NAME SYNAPSE_CONFIG_PATH PGHOST PGPORT
    CI GITHUB_ACTIONS GITHUB_TOKEN RUNNER_OS DEBIAN_FRONTEND TEST_MYSQL_URL CHROMIUM_PATH
    DYNO HEROKU_APP_NAME FLY_APP_NAME FLY_REGION RENDER_SERVICE_NAME WEB_CONCURRENCY
    WORKER WORKER_ID
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy no_proxy SSL_CERT_FILE DATABASE_HOST DATABASE_NAME DATABASE_USER
    OTEL_EXPORTER_OTLP_ENDPOINT OTEL_SERVICE_NAME OTEL_LOG_LEVEL SENTRY_DSN AWS_REGION DEBUG LOGLEVELS TOKEN SECRET
  `;

  it.each(FOREIGN.trim().split(/\s+/))('%s is none of our business', (name) => {
    expect(misspeltSettings({ [name]: 'x' })).toEqual([]);
  });
});

it('settings are not taken for each other', () => {
  for (const [name, { secret }] of settingRows) {
    expect(misspeltSettings({ [name]: 'x', ...(secret && { [`${name}_FILE`]: 'x' }) })).toEqual([]);
  }
});
