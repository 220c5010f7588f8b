import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type {
  RoomKeysHomeserverKind,
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransfer,
  RoomKeysTransferIssue,
} from 'nestjs-room-keys/operations';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, requireOption, userId } from './options.js';
import { counted, EXIT, Failure, grouped, print, table, withReport } from './output.js';
import { withProgress } from './progress.js';

interface ImportCommandOptions extends DatabaseOptions {
  from: string;
  user?: string;
  changed?: true;
  followDeletions?: true;
  again?: true;
  report?: string;
  json?: true;
}

/** Issues that are printed one by one; `--report` has all of them. */
const SHOWN = 20;

/** `import synapse`, `import dendrite`, `import jsonl`. */
export function addImport(program: Command): void {
  const group = program
    .command('import')
    .description('import backups from a homeserver, or from an exported file');
  addHomeserver(group, 'synapse', 'Synapse', [
    'postgres://synapse@127.0.0.1/synapse',
    '/var/lib/matrix-synapse/homeserver.db',
  ]);
  addHomeserver(group, 'dendrite', 'Dendrite', [
    'postgres://dendrite@127.0.0.1/dendrite',
    '/var/lib/dendrite/userapi_accounts.db',
  ]);
  importCommand(
    group,
    'jsonl',
    'import a file written by `export jsonl`',
    '<file>',
    'input file, or - for stdin',
  )
    .addHelpText(
      'after',
      `
The whole file is read, and its counts and checksums are verified, before anything is written.
${MANNERS}

Examples:
  $ room-keys-server import jsonl --from backups.jsonl
  $ gunzip < backups.jsonl.gz | room-keys-server import jsonl --from - --database mysql://room_keys@127.0.0.1/room_keys`,
    )
    .action((options: ImportCommandOptions) =>
      withFile(options.from, (file) =>
        runImport(options, (transfer, more) => transfer.importJsonl(file, more)),
      ),
    );
}

const MANNERS = `
New backups keep their versions, etags, auth_data and session_data. Keys are merged into existing backups: no key
is removed, and none is replaced by a worse one. Backups that were deleted here stay deleted. All that is written
is read back and compared. An import can be interrupted at any time and run again; a second one changes nothing.

Exit codes: 0 everything was imported, 1 something was not (it is reported), 130 or 143 interrupted.`;

function addHomeserver(
  group: Command,
  kind: RoomKeysHomeserverKind,
  name: string,
  [postgres, sqlite]: readonly [string, string],
): void {
  importCommand(
    group,
    kind,
    `import backups from ${name}, which may be running`,
    '<database>',
    `its database: ${postgres}, or the path of its SQLite file`,
  )
    .addHelpText(
      'after',
      `
The database of ${name} is only read. Set the password in PGPASSWORD or PGPASSFILE rather than in the URL: other
users can see the arguments of a command. With SQLite, stop ${name} first, or import from a copy of the file.
${MANNERS}

Examples:
  $ room-keys-server import ${kind} --from ${postgres}
  $ room-keys-server import ${kind} --from ${postgres} --changed --follow-deletions
  $ room-keys-server import ${kind} --from ${sqlite} --user '@alice:example.org' --report issues.jsonl`,
    )
    .action((options: ImportCommandOptions) =>
      runImport(options, (transfer, more) => transfer.importHomeserver(kind, options.from, more)),
    );
}

function importCommand(
  group: Command,
  name: string,
  description: string,
  argument: string,
  from: string,
): Command {
  return requireOption(databaseCommand(group, name), `--from ${argument}`, from)
    .description(description)
    .option('--user <user-id>', 'import only this user', userId)
    .option(
      '--changed',
      'skip backups whose etag and auth_data in the source are those of the last import, without reading their keys',
    )
    .option(
      '--follow-deletions',
      'delete backups that were deleted in the source and not changed here; only before clients use this server',
    )
    .option(
      '--again',
      'with --user: also import backups that were deleted or erased here, for example after a trial import',
    )
    .option('--report <file>', 'write what was not imported, and why, to this file, as JSON lines')
    .option('--json', 'print a JSON document');
}

async function runImport(
  options: ImportCommandOptions,
  work: (transfer: RoomKeysTransfer, more: RoomKeysImportOptions) => Promise<RoomKeysImportResult>,
): Promise<void> {
  if (options.again && options.user === undefined) {
    throw new Failure('Set --user with --again, which imports one user again.', EXIT.usage);
  }
  const { RoomKeysTransfer, RoomKeysSourceError } = await import('nestjs-room-keys/operations');
  const shown: RoomKeysTransferIssue[] = [];
  const what = options.changed ? 'users' : 'keys';
  const about = { what, shown: !options.json, brokenOff: INTERRUPTED };
  try {
    const result = await withReport(options.report, (write) =>
      withDatabase(options, (dataSource, history) =>
        withProgress(about, (bar, signal) =>
          work(new RoomKeysTransfer(dataSource, history), {
            userId: options.user,
            changedOnly: options.changed,
            followDeletions: options.followDeletions,
            again: options.again,
            signal,
            onProgress: ({ users, usersInAll, keys, keysInAll }) =>
              options.changed ? bar.update(users, usersInAll) : bar.update(keys, keysInAll),
            onIssue: (issue) => {
              write(issue);
              if (shown.length < SHOWN) shown.push(issue);
            },
          }),
        ),
      ),
    );
    if (
      result.users === 0 &&
      options.user !== undefined &&
      Object.keys(result.issues).length === 0
    ) {
      throw new Failure(
        `The source has no backup of ${options.user}. Check the user id in --user.`,
      );
    }
    print(options.json, result, () => summary(result, shown, options.report));
    if (!result.complete) process.exitCode = EXIT.failed;
  } catch (error) {
    if (error instanceof RoomKeysSourceError) throw new Failure(error.message);
    throw error;
  }
}

const INTERRUPTED =
  'Interrupted. Each backup that was imported is complete; run the same command again for the rest.';

function summary(
  { users, backups, keys, verified, issues }: RoomKeysImportResult,
  shown: readonly RoomKeysTransferIssue[],
  report: string | undefined,
): string[] {
  const total = Object.values(issues).reduce((sum, count) => sum + count, 0);
  const more = total - shown.length;
  return [
    ...shown.map(sentence),
    ...(more > 0
      ? [`… and ${grouped(more)} more${report ? '' : '; use --report FILE to list all'}`]
      : []),
    ...(total > 0 ? [''] : []),
    ...table([
      ['Users', grouped(users)],
      [
        'Backups',
        Object.entries(backups)
          .filter(([, count]) => count > 0)
          .map(([what, count]) => `${grouped(count)} ${what}`)
          .join(', ') || 'none',
      ],
      [
        'Keys',
        `${grouped(keys.read)} read, ${grouped(keys.written)} written, ${grouped(keys.skipped)} skipped`,
      ],
      [
        'Verified',
        verified.backups === 0
          ? 'nothing: no keys were read'
          : `${counted(verified.keys, 'key')} of ${counted(verified.backups, 'backup')}: stored as in the source, or better`,
      ],
    ]),
  ];
}

function sentence({
  code,
  message,
  userId: user,
  version,
  roomId,
  sessionId,
}: RoomKeysTransferIssue) {
  const place = [user, version && `version ${version}`, roomId, sessionId];
  return `${code}: ${place.filter(Boolean).join(' ')}: ${message}`;
}

/** A file that can be read more than once: stdin is copied into one. */
async function withFile(from: string, work: (file: string) => Promise<void>): Promise<void> {
  if (from !== '-') return work(from);
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-room-keys-'));
  try {
    const file = join(folder, 'stdin.jsonl');
    await pipeline(process.stdin, createWriteStream(file, { mode: 0o600 }));
    await work(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
