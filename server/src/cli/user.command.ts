import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { RoomKeysHistoryEntry } from 'nestjs-room-keys/operations';
import { unknownUser, withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, userId } from './options.js';
import { counted, EXIT, Failure, print, sized, table } from './output.js';
import { addRestore } from './restore.command.js';

/** `user show`, `user restore` and `user erase`: the backups of one user. */
export function addUser(program: Command): void {
  const user = program
    .command('user')
    .description('show, restore or erase the backups of one user');

  databaseCommand(user, 'show')
    .description('list the backups of a user')
    .argument('<user-id>', 'for example @alice:example.org', userId)
    .option(
      '--history',
      'list their history: which device created, changed, deleted or restored which backup',
    )
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
With --history, each line ends with the current backup before and after the change: a client whose uploads are refused
with 403 writes to a backup that is no longer current.

Examples:
  $ room-keys-server user show '@alice:example.org'
  $ room-keys-server user show '@alice:example.org' --history`,
    )
    .action(async (id: string, options: DatabaseOptions & { history?: true; json?: true }) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      if (options.history) {
        const history = await withDatabase(options, (dataSource) =>
          new RoomKeysMaintenance(dataSource).history(id),
        );
        print(options.json, { userId: id, history }, () => historyLines(history));
        return;
      }
      const summary = await withDatabase(options, (dataSource) =>
        new RoomKeysMaintenance(dataSource).summary(id),
      );
      print(options.json, { userId: id, ...summary }, () => [
        ...(summary.backups.length === 0
          ? [`${id} has no backup.`]
          : table(
              summary.backups.map(
                ({ version, isCurrent, algorithm, count, bytes, etag, ...backup }) => [
                  `version ${version}${isCurrent ? ' (current)' : ''}`,
                  counted(count, 'key'),
                  sized(bytes),
                  `etag ${etag}`,
                  algorithm,
                  `created ${backup.createdAt.toISOString()}`,
                  `changed ${backup.changedAt.toISOString()}`,
                  `by ${counted(backup.devices.length, 'device')}`,
                ],
              ),
            )),
        ...summary.versionsNotImported.map(
          (version) => `version ${version}: not imported; the report of the import says why`,
        ),
      ]);
    });

  addRestore(user);

  databaseCommand(user, 'erase')
    .description('permanently delete all backups and keys of a user')
    .argument('<user-id>', 'for example @alice:example.org', userId)
    .option('--yes', 'do not ask for confirmation')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
Clients can no longer read the keys from that moment on. Their rows are removed before the command ends, including those
that user restore could bring back. Later imports skip the user, unless run with --user and --again. Only the number of
the user's last backup is kept, so that no version is used twice.

Examples:
  $ room-keys-server user erase '@alice:example.org'
  $ room-keys-server user erase '@alice:example.org' --yes`,
    )
    .action(async (id: string, options: DatabaseOptions & { yes?: true; json?: true }) => {
      if (!options.yes && !process.stdin.isTTY) {
        throw new Failure(
          'The deletion cannot be confirmed without a terminal. Use --yes to delete without asking.',
          EXIT.usage,
        );
      }
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      await withDatabase(options, async (dataSource, history) => {
        const maintenance = new RoomKeysMaintenance(dataSource, history);
        const { backups, count, isKnown } = await maintenance.summary(id);
        if (!isKnown) throw unknownUser(id);
        const what = `${counted(backups.length, 'backup')} with ${counted(count, 'key')}`;
        if (!options.yes) await confirm(`This permanently deletes ${what} of ${id}.`, id);
        const { kept } = await maintenance.eraseUser(id);
        await maintenance.sweep();
        print(
          options.json,
          { userId: id, erased: { backups: backups.length, keys: count, deletions: kept } },
          () => [
            `Erased ${what} of ${id}${kept === 0 ? '' : `, and ${counted(kept, 'deletion')} that could have been undone`}.`,
            ...(backups.length === 0 ? [] : [imports(id)]),
          ],
        );
      });
    });
}

const WHAT: Record<RoomKeysHistoryEntry['what'], string> = {
  created: 'created',
  auth_data: 'auth_data changed',
  keys_deleted: 'keys deleted',
  deleted: 'deleted',
  restored: 'restored',
  imported: 'imported',
  erased: 'user erased',
};

/** What happened to a user's backups, a line each: uploads to a backup are refused from when it is not current any more. */
function historyLines(entries: readonly RoomKeysHistoryEntry[]): string[] {
  if (entries.length === 0) return ['No history: nothing happened within HISTORY_DAYS.'];
  const current = (version: string | undefined) => version ?? 'none';
  return table(
    entries.map(({ at, what, version, deviceId, currentBefore, currentAfter, count, etag }) => [
      at.toISOString(),
      version === undefined ? '' : `version ${version}`,
      WHAT[what],
      counted(count, 'key'),
      etag === undefined ? '' : `etag ${etag}`,
      deviceId === undefined ? 'by no device' : `by ${deviceId}`,
      currentBefore === currentAfter
        ? `current: ${current(currentAfter)}`
        : `current: ${current(currentBefore)} → ${current(currentAfter)}`,
    ]),
  );
}

/** A note about importing the user again. */
const imports = (id: string) =>
  `Imports skip the user from now on. To import the user again, run the import with --user '${id}' --again.`;

const NOTHING_DELETED = 'Nothing was deleted.';

async function confirm(warning: string, answer: string): Promise<void> {
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const left = new AbortController();
  const leave = (exitCode: number) => () => {
    // out of the line of the question
    process.stderr.write('\n');
    left.abort(new Failure(NOTHING_DELETED, exitCode));
  };
  const closed = leave(EXIT.failed);
  // Ctrl-C, and Ctrl-D or a terminal that is gone
  asking.once('SIGINT', leave(EXIT.interrupted)).once('close', closed);
  try {
    const given = await asking.question(`${warning}\nType the user id to continue: `, left);
    if (given.trim() !== answer) throw new Failure(NOTHING_DELETED);
  } catch (error) {
    left.signal.throwIfAborted();
    throw error;
  } finally {
    asking.off('close', closed).close();
  }
}
