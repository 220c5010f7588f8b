import { readFile } from 'node:fs/promises';
import type { Running } from './processes.js';

/** Starts a proxy at a port of its own, in front of two servers, all given as `host:port`. */
export type StartProxy = (
  program: string,
  at: { proxy: string; roomKeys: string; homeserver: string },
) => Promise<Running>;

/** A file of docs/proxies, in which each passage that is replaced must be there once. */
export async function adapted(file: string, changes: [from: string, to: string][]) {
  const text = await readFile(new URL(`../../../docs/proxies/${file}`, import.meta.url), 'utf8');
  return changes.reduce((changed, [from, to]) => {
    const parts = changed.split(from);
    if (parts.length !== 2) throw new Error(`'${from}' is not once in ${file}`);
    return parts.join(to);
  }, text);
}
