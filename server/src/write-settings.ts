/** Writes the table of the settings into the file it is given: `node server/dist/write-settings.js README.md`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsTable } from './settings-text.js';

const [file] = process.argv.slice(2);
if (!file) throw new Error('Usage: node server/dist/write-settings.js README.md');
const text = readFileSync(file, 'utf8');
const table = /^\| variable [^\n]*(?:\n\|[^\n]*)*/m;
if (!table.test(text)) throw new Error(`${file} has no table that begins with '| variable '.`);
writeFileSync(
  file,
  text.replace(table, () => settingsTable()),
);
