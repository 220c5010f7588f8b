import type { Command } from 'commander';
import type { RoomKeysStatistics } from 'nestjs-room-keys/operations';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, wholeNumber } from './options.js';
import { counted, grouped, print, sized, table } from './output.js';

/** `stats`: how much is stored. */
export function addStats(program: Command): void {
  databaseCommand(program, 'stats')
    .description('count users, backups, keys and bytes, and list the largest backups')
    .option('--largest <number>', 'number of largest backups to list', wholeNumber, 10)
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
Examples:
  $ room-keys-server stats
  $ room-keys-server stats --largest 3 --json`,
    )
    .action(async (options: DatabaseOptions & { largest: number; json?: true }) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      const found = await withDatabase(options, (dataSource) =>
        new RoomKeysMaintenance(dataSource).statistics(options.largest),
      );
      print(options.json, found, () => [
        ...table([
          [
            'Users',
            `${grouped(found.users)}, of whom ${grouped(found.usersWithBackup)} have a backup`,
          ],
          ['Backups', grouped(found.backups)],
          ['Keys', grouped(found.keys)],
          ['Size', `${sized(found.bytes)} of session_data`],
          [
            'To be swept',
            found.waiting.since
              ? `${counted(found.waiting.keySets, 'key set')} and ${counted(found.waiting.rooms, 'deleted room')}, the first since ${found.waiting.since.toISOString()}`
              : 'nothing',
          ],
          ...waitingRows(found),
        ]),
        ...(found.largest.length === 0 ? [] : ['', 'Largest backups']),
        ...table(
          found.largest.map(({ userId, version, count, bytes, changedAt }) => [
            `  ${counted(count, 'key')}`,
            sized(bytes),
            `version ${version}`,
            userId,
            `changed ${changedAt.toISOString()}`,
          ]),
        ),
      ]);
    });
}

/** What is kept from the sweep: keys stored by an unfinished import, and deletions that can be undone. */
export function waitingRows({
  staged,
  kept,
}: Pick<RoomKeysStatistics, 'staged' | 'kept'>): [name: string, text: string][] {
  const rows: [string, string][] = [];
  if (staged.until) {
    rows.push([
      'Import',
      `${counted(staged.keys, 'key')} of an import that is running or was interrupted, not yet part of a backup: removed after ${staged.until.toISOString()}, or by sweep --now`,
    ]);
  }
  if (kept.lastUntil) {
    rows.push([
      'Kept',
      `${counted(kept.deletions, 'deletion')} with ${counted(kept.keys, 'key')} that user restore can undo, the last until ${kept.lastUntil.toISOString()}`,
    ]);
  }
  return rows;
}
