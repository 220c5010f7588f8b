/** Writes the settings into a page, from its first `##` on: `node server/dist/write-settings.js docs/settings.md`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { settingsMarkdown } from './settings-text.js';

const [file] = process.argv.slice(2);
if (!file) throw new Error('Usage: node server/dist/write-settings.js docs/settings.md');
const [introduction = ''] = readFileSync(file, 'utf8').split(/^## /m);
writeFileSync(file, `${introduction}${settingsMarkdown()}\n`);
