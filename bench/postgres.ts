/** `npm run bench:postgres`: what the choices of tables, statements and settings for PostgreSQL come to. */
import { execSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Lab } from './postgres/lab.js';
import { fill, type Part, replace, restore, scattered, small, sweep } from './postgres/parts.js';
import { statements } from './postgres/statements.js';
import { users } from './postgres/users.js';
import { table } from './table.js';

/** In this order: those after `fill` are about the backup that it makes, until `sweep` removes it. */
const parts: Record<string, ((part: Part) => Promise<void>) | undefined> = {
  ...{ statements, fill, restore, small, scattered, replace, sweep, users },
};

const { values } = parseArgs({
  options: {
    database: { type: 'string' },
    keys: { type: 'string', default: '1000000' },
    parts: { type: 'string', default: Object.keys(parts).join() },
    restart: { type: 'string' },
  },
});
const keys = Number(values.keys);
if (!values.database || !(keys > 0 && keys % 5000 === 0)) {
  process.stderr.write(
    `Usage: npm run bench:postgres -- --database postgres://… [--keys 1000000] [--parts ${Object.keys(parts).join()}]
  [--restart 'COMMAND']   stops and starts the server, and has the system forget its files: then reads of nothing cached are measured too
It makes a database of its own, and removes it. --keys is a multiple of 5000.\n`,
  );
  process.exit(2);
}

const { restart } = values;
const lab = await Lab.create(new URL(values.database));
const lines: [string, string][] = [];
const part: Part = {
  lab,
  keys,
  restart:
    restart === undefined
      ? undefined
      : () => {
          execSync(restart, { stdio: ['ignore', 'ignore', 'inherit'] });
        },
  note: (what, value) => {
    lines.push([what, value]);
    process.stderr.write(`${what}: ${value}\n`);
  },
};
try {
  for (const name of values.parts.split(',')) {
    const run = parts[name];
    if (!run) throw new Error(`Unknown part '${name}'.`);
    await run(part);
  }
} finally {
  await lab.close();
  await lab.database.drop();
}
process.stdout.write(
  `\n${lab.database.description}, Node ${process.versions.node}, ${keys} keys\n\n${table(['', ''], lines)}\n`,
);
