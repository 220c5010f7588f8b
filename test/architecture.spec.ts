/** Proves that the lint rules forbid what ARCHITECTURE.md says, and that no files import each other in a circle. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { oneRoomForDatabases, rooms } from '../eslint.config.js';

const linter = new Linter();

function faultsOf(file: string, code: string): string[] {
  const config: Linter.Config[] = [
    { files: ['**/*.ts'], languageOptions: { parser: tseslint.parser } },
    ...rooms,
    oneRoomForDatabases,
  ];
  return linter.verify(code, config, { filename: file }).map(({ message }) => message);
}

describe('the lint rules forbid', () => {
  it.each([
    ['src/room-keys/replacement.ts', './storage/stored-ranks.js'],
    ['src/room-keys/room-key.ts', 'typeorm'],
    ['src/room-keys/room-keys.errors.ts', './room-key.js'],
    ['src/room-keys/storage/locked-backup.ts', '../http/json-body.interceptor.js'],
    ['src/room-keys/storage/locked-backup.ts', '../room-keys.service.js'],
    ['src/room-keys/storage/database/database.ts', '../../room-keys.module.js'],
    ['src/room-keys/room-keys.service.ts', './http/responses.js'],
    ['src/room-keys/room-keys.service.ts', 'typeorm'],
    ['src/room-keys/key-upload.ts', './http/responses.js'],
    ['src/room-keys/http/json-body.interceptor.ts', '../storage/rows.js'],
    ['src/room-keys/http/json-body.interceptor.ts', 'typeorm'],
    ['src/room-keys/json/ids.ts', '../http/json-body.interceptor.js'],
    ['src/room-keys/json/ids.ts', '../storage/rows.js'],
    ['src/operations/transfer/transfer.ts', '../../room-keys/room-keys.service.js'],
    ['src/operations/transfer/transfer.ts', '../../room-keys/http/responses.js'],
    ['src/room-keys/storage/rows.ts', '../../operations/room-keys.transfer.js'],
    ['src/room-keys/http/responses.ts', '../../operations/room-keys.maintenance.js'],
    ['src/room-keys/room-keys.service.ts', '../operations/room-keys.maintenance.js'],
    ['src/room-keys/room-keys.module.ts', '../../server/src/application.js'],
    ['src/access-tokens/cached.ts', '../index.js'],
    ['src/access-tokens/cached.ts', '../../server/src/verifier.js'],
    ['src/index.ts', '../server/src/application.js'],
    ['src/rate-limits.ts', '../server/src/application.js'],
    ['server/src/application.ts', '../../src/index.js'],
    ['server/src/cli/program.ts', '../../../src/room-keys/room-keys.service.js'],
    ['ormconfig.ts', './src/room-keys/storage/entities.js'],
    ['test/e2e/ids.e2e-spec.ts', '../../src/room-keys/json/ids.js'],
  ])('%s to import %s', (file, imported) => {
    expect(faultsOf(file, `import type { X } from '${imported}';`)).toHaveLength(1);
    expect(faultsOf(file, 'export type X = 1;')).toEqual([]);
  });

  it.each(["if (type === 'postgres') go();", "switch (id) { case 'mysql': go(); }"])(
    'asking which database it is: %s',
    (code) => {
      expect(faultsOf('src/room-keys/storage/rows.ts', code)).toHaveLength(1);
      expect(faultsOf('server/src/database.ts', code)).toHaveLength(1);
      expect(faultsOf('src/room-keys/storage/database/dialects.ts', code)).toEqual([]);
    },
  );
});

it('no files import each other in a circle, types included', () => {
  const files = ['src', 'server/src'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
      .map((file) => join(folder, file)),
  );
  const imports = new Map(files.map((file) => [file, importsOf(file)]));
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`A circle: ${[...path, file].join(' → ')}`);
    if (done.has(file)) return;
    for (const next of imports.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(done.size).toBe(files.length);
});

function importsOf(file: string): string[] {
  const found = readFileSync(file, 'utf8').matchAll(/(?:\bfrom|\bimport\() ?'(\.[^']+)\.js'/g);
  return Array.from(found, ([, path = '']) => join(dirname(file), `${path}.ts`));
}
