import { once } from 'node:events';
import { createWriteStream } from 'node:fs';

/** What the exit code of a command says. */
export const EXIT = {
  done: 0,
  /** It failed, or found a problem. */
  failed: 1,
  usage: 2,
  /** By SIGINT and SIGTERM, as shells count them. */
  interrupted: 130,
  terminated: 143,
} as const;

/** Ends a command with one sentence for its user. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failed,
  ) {
    super(message);
  }
}

/** What commands print: for a person, or with `--json` one JSON document, on stdout. */
export function print(json: boolean | undefined, document: unknown, lines: () => string[]): void {
  const text = json ? JSON.stringify(document, undefined, 2) : lines().join('\n');
  process.stdout.write(`${text}\n`);
}

const digits = new Intl.NumberFormat('en-US');

/** `1,234,567`. */
export const grouped = (count: number): string => digits.format(count);

/** `1 key`, `1,234 keys`. */
export const counted = (count: number, what: string): string =>
  `${grouped(count)} ${what}${count === 1 ? '' : 's'}`;

/** `1.2 GiB`. */
export function sized(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? grouped(value) : value.toFixed(1)} ${units[power] ?? ''}`;
}

/** Rows of cells, in columns as wide as their widest cell. */
export function table(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows.map((row) =>
    row
      .map((cell, column) =>
        right.includes(column)
          ? cell.padStart(widths[column] ?? 0)
          : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** Hands `work` what writes a line of JSON into the file of `--report`, if there is one. */
export async function withReport<T>(
  file: string | undefined,
  work: (write: (document: unknown) => void) => Promise<T>,
): Promise<T> {
  if (file === undefined) return work(() => undefined);
  const report = createWriteStream(file, { mode: 0o600 });
  await once(report, 'open').catch((error: unknown) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new Failure(`The file in --report cannot be written (${code}). Check the path.`);
  });
  try {
    return await work((document) => report.write(`${JSON.stringify(document)}\n`));
  } finally {
    report.end();
    await once(report, 'close');
  }
}
