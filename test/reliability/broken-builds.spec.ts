/** Proves that the deliberately broken builds still break something: each finds the code that it changes. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { breaks } from './broken-builds.list.mjs';

const root = resolve(import.meta.dirname, '../..');

it.each(breaks)('"$name" finds its code once', async ({ file, code }) => {
  expect((await readFile(resolve(root, file), 'utf8')).split(code)).toHaveLength(2);
});
