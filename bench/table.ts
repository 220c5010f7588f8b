import type { Summary } from './statistics.js';

const MEBIBYTE = 1024 * 1024;

export const milliseconds = (ms: number | undefined) => ms?.toFixed(2) ?? '';
export const megabytes = (bytes: number | undefined) =>
  bytes === undefined ? 'unknown' : `${(bytes / MEBIBYTE).toFixed(0)} MB`;
export const ratio = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? '' : (a / b).toFixed(2);
export const medianAndP99 = (times: Pick<Summary, 'median' | 'p99'> | undefined) =>
  times ? `${milliseconds(times.median)} / ${milliseconds(times.p99)}` : '';

/** A table in Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, n) => Math.max(3, ...all.map((row) => row[n]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, n) => (row[n] ?? '')[n === 0 ? 'padEnd' : 'padStart'](width)).join(' | ')} |`;
  const rule = `| ${widths.map((width, n) => (n === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
