/** Writes the OpenAPI document to the file it is given: `node server/dist/write-openapi.js openapi.json`. */
import { writeFileSync } from 'node:fs';
import { createApplication } from './application.js';
import { openApiDocument } from './docs.js';
import { readEnvironment } from './environment.js';

const [file] = process.argv.slice(2);
if (!file) throw new Error('Usage: node server/dist/write-openapi.js openapi.json');
const app = await createApplication(
  readEnvironment({ DATABASE_URL: 'sqlite::memory:', LOG_LEVEL: 'warn' }),
);
writeFileSync(file, `${JSON.stringify(openApiDocument(app), undefined, 2)}\n`);
await app.close();
