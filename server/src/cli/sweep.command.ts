import type { Command } from 'commander';
import { databaseCommand, type DatabaseOptions, withDatabase } from './database.js';
import { counted, print } from './output.js';

/** `sweep`: removes rows that nobody reads any more. */
export function addSweep(program: Command): void {
  databaseCommand(program, 'sweep')
    .description('remove the rows of deleted backups now; a server that runs does so itself')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
It works in small steps beside servers that are in use, and can be broken off at any time.

Example:
  $ room-keys-server sweep`,
    )
    .action(async (options: DatabaseOptions & { json?: true }) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      const done = await withDatabase(options, (dataSource) =>
        new RoomKeysMaintenance(dataSource).sweep(),
      );
      print(options.json, done, () => [
        done.keySets + done.rooms === 0
          ? 'There is nothing to sweep.'
          : `Removed ${counted(done.keySets, 'key set')} and ${counted(done.rooms, 'deleted room')} with ${counted(done.rows, 'key')}.`,
      ]);
    });
}
