// Makes dist/cjs/ of dist/: the same modules for `require`, as Jest runs it and bundlers follow it. Node itself loads
// the ES modules either way (`module-sync` in package.json), so that a process has one copy of each class. Declarations
// that no entry of the package leads to are removed from both.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const FROM = 'dist';
const TO = 'dist/cjs';
const isOurs = (path) => !path.startsWith('cjs');

const compilerOptions = {
  module: ts.ModuleKind.CommonJS,
  target: ts.ScriptTarget.ES2023,
  esModuleInterop: true,
  allowJs: true,
  // they are in the ES modules, and in the declarations
  removeComments: true,
};

const declared = declarations();
for (const path of readdirSync(FROM, { recursive: true }).filter(isOurs)) {
  if (path.endsWith('.d.ts')) {
    if (declared.has(path)) write(path, readFileSync(join(FROM, path), 'utf8'));
    else rmSync(join(FROM, path));
  } else if (path.endsWith('.js')) {
    write(path, asCommonJs(path));
  }
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

/** The declarations that those of the package's entries lead to: no host sees the others. */
function declarations() {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const found = new Set(
    Object.values(exports).flatMap(({ require: entry }) =>
      entry ? [relative(TO, entry.types)] : [],
    ),
  );
  // a set is gone through with what is added on the way
  for (const path of found) {
    const { importedFiles } = ts.preProcessFile(readFileSync(join(FROM, path), 'utf8'));
    for (const { fileName } of importedFiles) {
      if (fileName.startsWith('.'))
        found.add(join(dirname(path), fileName.replace(/\.js$/, '.d.ts')));
    }
  }
  return found;
}

function write(path, text) {
  const to = join(TO, path);
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, text);
}
