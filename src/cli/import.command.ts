import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import type {
  RoomKeysHomeserverKind,
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransfer,
  RoomKeysTransferIssue,
} from '../index.js';
import { databaseCommand, type DatabaseOptions, withDatabase } from './database.js';
import { EXIT, Failure } from './exit.js';
import { counted, grouped, print, table } from './output.js';
import { withProgress } from './progress.js';
import { userId } from './user.command.js';

interface ImportCommandOptions extends DatabaseOptions {
  from: string;
  user?: string;
  changed?: true;
  report?: string;
  json?: true;
}

/** Decisions that are as they should be; all others are about something that is missing. */
const HARMLESS = new Set(['deleted-here', 'changed-here']);
/** Issues that are printed one by one; `--report` has all of them. */
const SHOWN = 20;

/** `import synapse`, `import dendrite`, `import jsonl`: takes backups over. */
export function addImport(program: Command): void {
  const group = program
    .command('import')
    .description('take over the backups of a homeserver, or of a file that was exported');
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
    'take over a file of `export jsonl`',
    '<file>',
    'the file, or - for stdin',
  )
    .addHelpText(
      'after',
      `
The file is read through, and its counts and checksums are compared, before anything is written.
${MANNERS}

Examples:
  $ nestjs-room-keys import jsonl --from backups.jsonl
  $ gunzip < backups.jsonl.gz | nestjs-room-keys import jsonl --from - --database mysql://room_keys@127.0.0.1/room_keys`,
    )
    .action((options: ImportCommandOptions) =>
      withFile(options.from, (file) =>
        runImport(options, (transfer, told) => transfer.importJsonl(file, told)),
      ),
    );
}

const MANNERS = `
Versions, etags, deletions, auth_data and session_data stay as they are. What nobody has changed here follows
the source; what was changed here takes the keys that are missing or better, and loses none. It can be broken
off at any time, and run again: a second import changes nothing. In the end counts and checksums of what is
stored have been compared with the source's.

Exit codes: 0 all was taken, 1 something was not (it says what), 130 or 143 broken off.`;

function addHomeserver(
  group: Command,
  kind: RoomKeysHomeserverKind,
  name: string,
  [postgres, sqlite]: readonly [string, string],
): void {
  importCommand(
    group,
    kind,
    `take over the backups of a ${name}, which may be running`,
    '<database>',
    `its database: ${postgres}, or the path of its SQLite file`,
  )
    .addHelpText(
      'after',
      `
Only reads from the database of ${name}. A password is better kept in PGPASSWORD, or in the file that
PGPASSFILE names, than in the URL: others see the arguments of a command. A SQLite file is better read while
${name} does not write to it: stop it, or copy the file.
${MANNERS}

Examples:
  $ nestjs-room-keys import ${kind} --from ${postgres}
  $ nestjs-room-keys import ${kind} --from ${postgres} --changed
  $ nestjs-room-keys import ${kind} --from ${sqlite} --user '@alice:example.org' --report not-taken.jsonl`,
    )
    .action((options: ImportCommandOptions) =>
      runImport(options, (transfer, told) => transfer.importHomeserver(kind, options.from, told)),
    );
}

function importCommand(
  group: Command,
  name: string,
  description: string,
  argument: string,
  from: string,
): Command {
  return databaseCommand(group, name)
    .description(description)
    .addOption(new Option(`--from ${argument}`, from).makeOptionMandatory())
    .option('--user <user-id>', 'take over one user only', userId)
    .option(
      '--changed',
      'pass over backups whose etag and auth_data are as at the last import, without reading their keys',
    )
    .option('--report <file>', 'write what was not taken, and why, as JSON lines')
    .option('--json', 'print a JSON document');
}

async function runImport(
  options: ImportCommandOptions,
  work: (transfer: RoomKeysTransfer, told: RoomKeysImportOptions) => Promise<RoomKeysImportResult>,
): Promise<void> {
  const { RoomKeysTransfer, RoomKeysSourceError } = await import('../index.js');
  const report = options.report === undefined ? undefined : await openReport(options.report);
  const shown: RoomKeysTransferIssue[] = [];
  const what = options.changed ? 'users' : 'keys';
  const about = { what, shown: !options.json, brokenOff: BROKEN_OFF };
  try {
    const result = await withDatabase(options, (dataSource) =>
      withProgress(about, (bar, signal) =>
        work(new RoomKeysTransfer(dataSource), {
          userId: options.user,
          changedOnly: options.changed,
          signal,
          onProgress: ({ users, usersInAll, keys, keysInAll }) =>
            options.changed ? bar.update(users, usersInAll) : bar.update(keys, keysInAll),
          onIssue: (issue) => {
            report?.write(`${JSON.stringify(issue)}\n`);
            if (shown.length < SHOWN) shown.push(issue);
          },
        }),
      ),
    );
    if (
      result.users === 0 &&
      options.user !== undefined &&
      Object.keys(result.issues).length === 0
    ) {
      throw new Failure(
        `The source has no backup of ${options.user}: write the id of another user in --user.`,
      );
    }
    print(options.json, result, () => summary(result, shown, options.report));
    if (Object.keys(result.issues).some((code) => !HARMLESS.has(code))) {
      process.exitCode = EXIT.failed;
    }
  } catch (error) {
    if (error instanceof RoomKeysSourceError) throw new Failure(error.message);
    throw error;
  } finally {
    if (report) {
      report.end();
      await once(report, 'close');
    }
  }
}

const BROKEN_OFF =
  'Broken off. What was taken is complete, backup by backup; run the same command again for the rest.';

async function openReport(file: string): Promise<WriteStream> {
  const report = createWriteStream(file, { mode: 0o600 });
  await once(report, 'open').catch((error: unknown) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new Failure(
      `The file in --report cannot be written (${code}): write the path of another one.`,
    );
  });
  return report;
}

function summary(
  { users, backups, keys, verified, issues }: RoomKeysImportResult,
  shown: readonly RoomKeysTransferIssue[],
  report: string | undefined,
): string[] {
  const told = Object.values(issues).reduce((sum, count) => sum + count, 0);
  const more = told - shown.length;
  return [
    ...shown.map(sentence),
    ...(more > 0
      ? [`… and ${grouped(more)} more${report ? '' : '; --report FILE writes all'}`]
      : []),
    ...(told > 0 ? [''] : []),
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
        `${grouped(keys.read)} read, ${grouped(keys.written)} written, ${grouped(keys.refused)} refused`,
      ],
      [
        'Verified',
        verified.backups === 0
          ? 'nothing: no keys were read'
          : `${counted(verified.keys, 'key')} of ${counted(verified.backups, 'backup')}: counts and checksums are the source's`,
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

/** A file that can be read more than once: what comes through a pipe is put into one. */
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
