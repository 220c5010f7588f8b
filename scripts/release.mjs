// Makes release/room-keys-server-VERSION.tar.gz: what the server runs from, with every package that it needs in the lock
// file, to be installed by `npm ci --omit=dev`. `npm run release`, or `node scripts/release.mjs FOLDER`.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = resolve(process.argv[2] ?? 'release');
process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** Beside the two manifests and the lock file. */
const FILES = [
  ...['dist', 'server/dist', 'server/bin', 'LICENSE', 'README.md', 'CHANGELOG.md'],
  ...['server/CHANGELOG.md', 'openapi.json', 'docs'],
];
/** Hosts on CommonJS, compilers, readers on the web. */
const LEFT_OUT = /^dist\/cjs(?:\/|$)|^docs\/images(?:\/|$)|\.d\.ts$/;

const manifest = readJson('package.json');
const server = readJson('server/package.json');
const name = `room-keys-server-${server.version}`;
if (manifest.version !== server.version) {
  throw new Error(
    `package.json has version ${manifest.version}, server/package.json ${server.version}`,
  );
}

execFileSync(process.execPath, ['scripts/build-if-needed.mjs'], { stdio: 'inherit' });
const temporary = mkdtempSync(join(tmpdir(), 'room-keys-release-'));
try {
  const tree = join(temporary, name);
  for (const path of FILES) {
    cpSync(path, join(tree, path), {
      recursive: true,
      filter: (source) => !LEFT_OUT.test(source),
    });
  }
  for (const one of [manifest, server]) {
    delete one.devDependencies;
    delete one.scripts;
  }
  writeJson(join(tree, 'package.json'), manifest);
  writeJson(join(tree, 'server/package.json'), server);
  writeJson(join(tree, 'package-lock.json'), reducedLock(readJson('package-lock.json')));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.tar.gz`);
  // the same bytes of the same tree, whenever and by whomever it is made
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX'];
  const order = ['--sort=name', '--mtime=@0', '--format=ustar'];
  const tar = execFileSync('tar', ['-C', temporary, ...owner, ...order, '-cf', '-', name], {
    maxBuffer: 2 ** 28,
  });
  const bytes = execFileSync('gzip', ['-9n'], { input: tar, maxBuffer: 2 ** 28 });
  writeFileSync(file, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(`${file}.sha256`, `${sha256}  ${name}.tar.gz\n`);
  console.log(`${file}: ${(bytes.length / 1e6).toFixed(1)} MB, SHA-256 ${sha256}`);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

/**
 * The lock file, with no packages but those that dependencies lead to. A peer that is optional is not among these: npm
 * would install TypeScript for Swagger, `--omit=dev` or not.
 */
function reducedLock(lock) {
  const all = lock.packages;
  for (const path of ['', 'server']) delete all[path].devDependencies;
  const kept = new Set([
    '',
    'server',
    'node_modules/nestjs-room-keys',
    'node_modules/room-keys-server',
  ]);
  // a set is gone through with what is added on the way
  for (const path of kept) {
    const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } =
      all[path];
    for (const name of Object.keys({
      ...dependencies,
      ...optionalDependencies,
      ...peerDependencies,
    })) {
      if (peerDependenciesMeta?.[name]?.optional) continue;
      const found = located(all, path, name);
      if (found !== undefined) kept.add(found);
    }
  }
  const packages = Object.fromEntries(Object.entries(all).filter(([path]) => kept.has(path)));
  return { ...lock, packages };
}

/** Where Node finds a dependency of the package at a path; undefined where an optional one is not installed. */
function located(all, path, name) {
  for (
    let base = path;
    ;
    base = base.slice(0, Math.max(0, base.lastIndexOf('node_modules/') - 1))
  ) {
    const candidate = `${base}${base === '' ? '' : '/'}node_modules/${name}`;
    if (candidate in all) return candidate;
    if (base === '') return undefined;
  }
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
}
