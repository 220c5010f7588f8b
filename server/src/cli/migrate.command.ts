import type { Command } from 'commander';
import { databaseSettings, openForCommand } from './database.js';
import { databaseCommand, type DatabaseOptions } from './options.js';
import { print } from './output.js';

/** `migrate`: creates the tables, or brings them up to date. */
export function addMigrate(program: Command): void {
  databaseCommand(program, 'migrate')
    .description('create or update the tables; by default, servers do so at start')
    .option('--json', 'print the names of the migrations that were run, as JSON')
    .addHelpText(
      'after',
      `
Can run while servers start: one process runs the migrations, the others wait.

Examples:
  $ room-keys-server migrate
  $ room-keys-server migrate --database mysql://room_keys@127.0.0.1/room_keys`,
    )
    .action(async (options: DatabaseOptions & { json?: true }) => {
      const { runMigrations } = await import('nestjs-room-keys');
      const dataSource = await openForCommand(databaseSettings(options));
      try {
        const migrations = await runMigrations(dataSource);
        print(options.json, { migrations }, () =>
          migrations.length === 0
            ? ['The tables are up to date.']
            : migrations.map((name) => `Run: ${name}`),
        );
      } finally {
        await dataSource.destroy();
      }
    });
}
