// Makes dist/cjs/ of dist/: the same modules for `require`, as Jest runs it and bundlers follow it. Node itself loads
// the ES modules either way (`module-sync` in package.json), so that a process has one copy of each class.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const FROM = 'dist';
const TO = 'dist/cjs';
/** What only Node runs, as the program that it is. */
const PROGRAMS = /^(?:cli|server)\/|^main\./;

const compilerOptions = {
  module: ts.ModuleKind.CommonJS,
  target: ts.ScriptTarget.ES2023,
  esModuleInterop: true,
  allowJs: true,
  // they are in the ES modules, and in the declarations
  removeComments: true,
};

for (const path of readdirSync(FROM, { recursive: true })) {
  if (PROGRAMS.test(path) || !/\.(?:js|d\.ts)$/.test(path)) continue;
  const to = join(TO, path);
  mkdirSync(dirname(to), { recursive: true });
  if (path.endsWith('.js')) writeFileSync(to, asCommonJs(path));
  else cpSync(join(FROM, path), to);
}
// what the package.json of the package says of its files does not hold below
writeFileSync(join(TO, 'package.json'), '{ "type": "commonjs" }\n');

function asCommonJs(path) {
  const source = readFileSync(join(FROM, path), 'utf8');
  const module = ts.transpileModule(source, { compilerOptions, fileName: path });
  if (/\bimport\.meta\b/.test(module.outputText)) {
    throw new Error(`${path} uses import.meta, which CommonJS lacks`);
  }
  return module.outputText;
}
