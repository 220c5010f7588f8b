/** What people are told of the settings: at the command line, and in README.md. */
import { readEnvironment, sourceOf, type Variables } from './environment.js';
import { idleSettings } from './idle-settings.js';
import { type Setting, settingRows } from './settings.js';
import { misspeltSettings } from './unknown-settings.js';

const INDENT = '  ';

/** All settings with their defaults and an example each, for a terminal. */
export function settingsHelp(): string {
  const rows = settingRows.map(([name, setting]) => {
    const { doc, example, secret } = setting;
    const lines = [doc, `default: ${defaultOf(setting)}`, `example: ${name}=${example}`];
    if (secret) lines.push(`or its file: ${name}_FILE=/run/secrets/${fileName(name)}`);
    return [name, ...lines.map((line) => INDENT + line.replaceAll('`', ''))].join('\n');
  });
  return [
    'Settings are environment variables, all optional; one that is empty counts as not set.',
    'Of each secret, the variable that ends in _FILE can name a file that holds it.',
    '',
    ...rows.flatMap((row) => [row, '']),
  ].join('\n');
}

/** The same as a table in Markdown, as Prettier lays it out. */
export function settingsTable(): string {
  const rows = settingRows.map(([name, setting]) => [
    `\`${name}\``,
    setting.secret ? `${setting.doc} (secret)` : setting.doc,
    setting.default === undefined ? defaultOf(setting) : `\`${setting.default}\``,
    `\`${setting.example}\``,
  ]);
  const head = ['variable', 'what', 'default', 'example'];
  const widths = head.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? '')].map(({ length }) => length)),
  );
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [head, widths.map((length) => '-'.repeat(length)), ...rows].map(line).join('\n');
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
    'The settings are good.',
    ...(set.length > 0
      ? ['Set, all others have their defaults:', ...set]
      : ['All of them have their defaults.']),
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

function fileName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}
