import { type Command, Option } from 'commander';
import type {
  RoomKeysDeletion,
  RoomKeysMaintenance,
  RoomKeysRestoreResult,
} from 'nestjs-room-keys/operations';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, userId } from './options.js';
import { counted, Failure, print, table } from './output.js';

interface RestoreOptions extends DatabaseOptions {
  version?: string;
  asCurrent?: true;
  list?: true;
  dryRun?: true;
  json?: true;
}

/** `user restore`: brings back what was deleted. */
export function addRestore(user: Command): void {
  databaseCommand(user, 'restore')
    .description('restore a backup, or keys of one, that a user deleted')
    .argument('<user-id>', 'for example @alice:example.org', userId)
    .addOption(
      new Option('--version <version>', 'version of the backup; required if there are several'),
    )
    .option('--as-current', 'restore it under a new version, so that clients read it')
    .option('--list', 'list what can be restored, and change nothing')
    .option('--dry-run', 'print what would be restored, and change nothing')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
A deletion can be undone for KEEP_DELETED_DAYS, as set when it was made. A deleted backup is restored with its keys;
keys that were deleted from a backup are merged into it, unless it has a better one by now.

Clients read the newest backup only. After a reset, use --as-current: the old backup gets a new version and becomes the
current one again; the newer one is kept unchanged. To read it, the user needs the recovery key of the old backup.

Examples:
  $ room-keys-server user restore '@alice:example.org' --list
  $ room-keys-server user restore '@alice:example.org' --version 1 --as-current`,
    )
    .action(async (id: string, options: RestoreOptions) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      await withDatabase(options, async (dataSource, history) => {
        const maintenance = new RoomKeysMaintenance(dataSource, history);
        const deletions = await maintenance.deletions(id);
        if (options.list) {
          print(options.json, { userId: id, deletions }, () => listed(id, deletions));
          return;
        }
        const version = options.version ?? onlyVersion(id, deletions);
        if (options.dryRun) {
          const some = deletions.filter((one) => one.version === version);
          const intended = { userId: id, version, asCurrent: options.asCurrent === true };
          print(options.json, { ...intended, deletions: some }, () => [
            `This would restore version ${version} of ${id}${options.asCurrent ? ' under a new version' : ''}:`,
            ...listed(id, some),
          ]);
          return;
        }
        const result = await restore(maintenance, id, version, options.asCurrent === true);
        print(options.json, { userId: id, ...result }, () => sentences(id, version, result));
      });
    });
}

async function restore(
  maintenance: RoomKeysMaintenance,
  id: string,
  version: string,
  asCurrent: boolean,
): Promise<RoomKeysRestoreResult> {
  const result = await maintenance.restore(id, { version, asCurrent });
  if (result) return result;
  throw new Failure(
    `Nothing of version ${version} of ${id} can be restored. Use --list to see what can.`,
  );
}

/** The version of all that can be restored, where it is one. */
function onlyVersion(id: string, deletions: readonly RoomKeysDeletion[]): string {
  const [version, ...others] = new Set(deletions.map((one) => one.version));
  if (version === undefined) {
    throw new Failure(
      `Nothing of ${id} can be restored: nothing was deleted while KEEP_DELETED_DAYS was set, or that time has passed.`,
    );
  }
  if (others.length === 0) return version;
  throw new Failure(
    `Several backups of ${id} can be restored. Set --version ${[version, ...others].join(' or ')}; --list shows them.`,
  );
}

const WHAT = {
  backup: 'the backup',
  keys: 'all of its keys',
  room: 'the keys of a room',
  key: 'one key',
} as const;

function listed(id: string, deletions: readonly RoomKeysDeletion[]): string[] {
  if (deletions.length === 0) return [`Nothing of ${id} can be restored.`];
  return table(
    deletions.map(({ kind, version, count, deletedAt, keptUntil }) => [
      `version ${version}`,
      WHAT[kind],
      counted(count, 'key'),
      `deleted ${deletedAt.toISOString()}`,
      `kept until ${keptUntil.toISOString()}`,
    ]),
  );
}

function sentences(
  id: string,
  asked: string,
  { version, currentVersion, count, merged }: RoomKeysRestoreResult,
): string[] {
  const moved = version === asked ? '' : ` as version ${version}`;
  const gained = merged > 0 ? `, ${counted(merged, 'key')} of them merged into it` : '';
  return [
    `Restored version ${asked} of ${id}${moved}: it has ${counted(count, 'key')} now${gained}.`,
    version === currentVersion
      ? 'It is the current backup. To read it, the user enters its recovery key.'
      : `The current backup is version ${currentVersion}, and clients read only that one. To make this one current, run the command again with --version ${version} --as-current.`,
  ];
}
