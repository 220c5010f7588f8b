import type { Command } from 'commander';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions } from './options.js';
import { counted, print, table } from './output.js';
import { waitingRows } from './stats.command.js';

/** `sweep`: removes the rows of deleted keys. */
export function addSweep(program: Command): void {
  databaseCommand(program, 'sweep')
    .description('remove the rows of deleted backups now; running servers do so by themselves')
    .option('--now', 'also remove what interrupted imports left; no import may be running')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
Works in small steps while servers are in use, and can be interrupted at any time.

What an import has stored is not part of a backup until it is complete, and is removed an hour after an interruption.
With --now it is removed at once; an import that runs meanwhile fails, and must be run again. Deletions that user
restore can undo are always kept until their time has passed.

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
          ? 'Nothing to sweep.'
          : `Removed ${counted(done.keySets, 'key set')} and ${counted(done.rooms, 'deleted room')} with ${counted(done.rows, 'key')}.`,
        ...table(waitingRows(left)),
      ]);
    });
}
