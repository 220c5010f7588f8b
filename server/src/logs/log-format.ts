import { isatty } from 'node:tty';

export const STDOUT = 1;

/** Whether the log is JSON: as the setting says, and without one, where no person reads it. */
export function writesJson(logFormat: string | undefined): boolean {
  return logFormat === 'json' || (logFormat !== 'text' && !isatty(STDOUT));
}

/** What stands behind the message in a line of text. */
export function fieldsText(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([key, value]) => (value === undefined ? '' : ` ${key}=${value as string}`))
    .join('');
}
