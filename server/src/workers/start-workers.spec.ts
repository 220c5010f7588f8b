/** Proves that the primary process stays small: what it loads, and all that this loads, is neither Nest nor TypeORM. */
import { readFileSync } from 'node:fs';

/** The packages that a file loads, itself or through others. Types are not loaded. */
function packagesOf(file: URL, seen = new Set<string>()): string[] {
  if (seen.has(file.href)) return [];
  seen.add(file.href);
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(/^(?:import|export)\s(?!type\s)([^;]*?\sfrom\s)?'([^']+)';/gm)];
  return imports
    .filter(([, names = '']) => !/^\{(?:\s*type [^,]*,?)+\}\sfrom\s$/.test(names.trimStart()))
    .flatMap(([, , name = '']) =>
      name.startsWith('.') ? packagesOf(new URL(name.replace(/\.js$/, '.ts'), file), seen) : [name],
    );
}

it('the primary process loads neither Nest nor TypeORM', () => {
  const packages = packagesOf(new URL('start-workers.ts', import.meta.url));
  expect(packages).toContain('prom-client');
  const own = packages.filter((name) => !name.startsWith('node:'));
  expect([...new Set(own)].sort()).toEqual(['prom-client', 'rate-limiter-flexible']);
});

it('a worker loads both', () => {
  const packages = packagesOf(new URL('start-worker.ts', import.meta.url));
  expect(packages).toEqual(expect.arrayContaining(['@nestjs/core', 'typeorm']));
});
