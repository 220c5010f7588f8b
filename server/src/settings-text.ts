/** The text about the settings: in `--help` and in docs/settings.md. */
import { readEnvironment, sourceOf, type Variables } from './environment.js';
import { idleSettings } from './ineffective-settings.js';
import { type Setting, type SettingName, settingRows, SETTINGS } from './settings.js';
import { misspeltSettings } from './unknown-settings.js';

const INDENT = '  ';

/** The topics, each by its first setting; those that follow in the table belong to it too. */
const TOPICS: Partial<Record<SettingName, string>> = {
  DATABASE_URL: 'Database',
  HOST: 'Address and processes',
  HOMESERVER_URL: 'Access tokens',
  ALLOWED_ALGORITHMS: 'Requests and connections',
  MAX_KEYS_PER_BACKUP: 'Storage limits',
  KEEP_DELETED_DAYS: 'Undo and history',
  LOG_FORMAT: 'Log and metrics',
  RATE_LIMIT: 'Rate limits',
};

/** The settings that most installations need, for the top of docs/settings.md. */
const ESSENTIAL: readonly SettingName[] = [
  'DATABASE_URL',
  'DATABASE_PASSWORD',
  'HOMESERVER_URL',
  'HOST',
  'PORT',
  'WORKERS',
  'METRICS_PORT',
  'LOG_LEVEL',
];

/** All settings with their defaults and an example each, for a terminal. */
export function settingsHelp(): string {
  const rows = settingRows.map(([name, setting]) => {
    const { doc, example, secret } = setting;
    const lines = [doc, `default: ${defaultOf(setting)}`, `example: ${name}=${example}`];
    if (secret) lines.push(`or its file: ${name}_FILE=/run/secrets/${fileName(name)}`);
    return [name, ...lines.map((line) => INDENT + line.replaceAll('`', ''))].join('\n');
  });
  return [
    'Settings are environment variables. All are optional; an empty value counts as not set.',
    'A secret can be read from a file: name it in the variable that ends in _FILE.',
    '',
    ...rows.flatMap((row) => [row, '']),
  ].join('\n');
}

/** The part of docs/settings.md that is made of the table of settings, as Prettier lays it out. */
export function settingsMarkdown(): string {
  const others = settingRows.flatMap(([name]) => {
    const topic = TOPICS[name];
    return [
      ...(topic === undefined ? [] : [`## ${topic}`]),
      ...(ESSENTIAL.includes(name) ? [] : entry(name)),
    ];
  });
  return ['## The eight that matter first', ...ESSENTIAL.flatMap(entry), ...others].join('\n\n');
}

function entry(name: SettingName): string[] {
  const setting: Setting = SETTINGS[name];
  const facts = [
    `Default: ${setting.default === undefined ? defaultOf(setting) : `\`${setting.default}\``}.`,
    ...(setting.default === undefined ? [`Example: \`${setting.example}\`.`] : []),
    ...(setting.secret ? ['Secret.'] : []),
  ];
  return [`### \`${name}\``, capitalized(`${setting.doc}.`), facts.join(' ')];
}

/**
 * What the server would make of these variables, without starting it.
 *
 * @throws SettingError for what it would not start with
 */
export function checkConfig(variables: Variables): string {
  readEnvironment(variables);
  const set = settingRows.flatMap(([name, { secret }]) => {
    const source = sourceOf(variables, name);
    if (source === undefined) return [];
    const value = variables[source] ?? '';
    return [`${INDENT}${source}=${secret && source === name ? '… (not shown)' : value}`];
  });
  return [
    'The settings are valid.',
    ...(set.length > 0
      ? ['Set, all others have their defaults:', ...set]
      : ['All settings have their defaults.']),
    ...remarksOn(variables),
    '',
  ].join('\n');
}

/**
 * Sentences about variables that look like settings and are none, and about settings that do nothing.
 *
 * @param variables whose settings are good
 */
export function remarksOn(variables: Variables): string[] {
  const misspelt = misspeltSettings(variables).flatMap(({ remark }) => remark ?? []);
  return [...misspelt, ...idleSettings(variables)];
}

function defaultOf({ default: text, unset }: Setting): string {
  return text ?? unset ?? 'none';
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function fileName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}
