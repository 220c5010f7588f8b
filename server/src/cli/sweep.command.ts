import type { Command } from 'commander';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions } from './options.js';
import { counted, print, table } from './output.js';
import { waitingRows } from './stats.command.js';

/** `sweep`: removes the rows of deleted keys. */
export function addSweep(program: Command): void {
  databaseCommand(program, 'sweep')
    .description('remove the rows of deleted backups now; a server that runs does so itself')
    .option('--now', 'also what an import left that broke off: no import may run meanwhile')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
It works in small steps beside servers that are in use, and can be broken off at any time.

What an import has stored is part of no backup until it is complete, and is removed after an hour if the import
broke off. With --now it is removed at once; an import that runs meanwhile fails, and is to be run again. What user
restore can bring back stays in any case until its time is over.

Examples:
  $ room-keys-server sweep
  $ room-keys-server sweep --now`,
    )
    .action(async (options: DatabaseOptions & { now?: true; json?: true }) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      const [done, left] = await withDatabase(options, async (dataSource) => {
        const maintenance = new RoomKeysMaintenance(dataSource);
        const swept = await maintenance.sweep(undefined, { staged: options.now === true });
        return [swept, await maintenance.statistics(0)];
      });
      print(options.json, { ...done, staged: left.staged, kept: left.kept }, () => [
        done.keySets + done.rooms === 0
          ? 'There is nothing to sweep.'
          : `Removed ${counted(done.keySets, 'key set')} and ${counted(done.rooms, 'deleted room')} with ${counted(done.rows, 'key')}.`,
        ...table(waitingRows(left)),
      ]);
    });
}
