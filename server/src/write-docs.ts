/** Writes what is made of the code: `node server/dist/write-docs.js openapi.json`, or `docs/settings.md`, from its first `##` on. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createApplication } from './application.js';
import { openApiDocument } from './docs.js';
import { readEnvironment } from './environment.js';
import { settingsMarkdown } from './settings-text.js';

const [file = ''] = process.argv.slice(2);
if (file.endsWith('.json')) {
  const app = await createApplication(
    readEnvironment({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'warn' }),
  );
  writeFileSync(file, `${JSON.stringify(openApiDocument(app), undefined, 2)}\n`);
  await app.close();
} else {
  const [introduction = ''] = readFileSync(file, 'utf8').split(/^## /m);
  writeFileSync(file, `${introduction}${settingsMarkdown()}\n`);
}
