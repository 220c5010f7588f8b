import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  RoomKeysAccountSource,
  RoomKeysClosedAccount,
  RoomKeysClosedAccountsResult,
} from 'nestjs-room-keys/operations';
import { withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions } from './options.js';
import { counted, EXIT, Failure, grouped, print, withReport } from './output.js';
import { withProgress } from './progress.js';

interface ClosedAccountsOptions extends DatabaseOptions {
  from?: string;
  homeserver?: string;
  adminTokenFile?: string;
  serverName?: string;
  eraseUnknown?: true;
  maxShare: number;
  dryRun?: true;
  report?: string;
  json?: true;
}

/** Users that are printed one by one; `--report` has all of them. */
const SHOWN = 20;

/** `closed-accounts erase`: deletes the backups of users whom Synapse reports as deactivated. */
export function addClosedAccounts(program: Command): void {
  const group = program
    .command('closed-accounts')
    .description('backups of users whose accounts were closed at the homeserver');
  databaseCommand(group, 'erase')
    .description('permanently delete the backups of all users that Synapse reports as deactivated')
    .addOption(
      new Option(
        '--from <database>',
        "Synapse's database: postgres://synapse@127.0.0.1/synapse, or the path of its SQLite file",
      ).conflicts('homeserver'),
    )
    .addOption(
      new Option(
        '--homeserver <url>',
        'base URL of Synapse itself, for its admin API: http://127.0.0.1:8008',
      ),
    )
    .option('--admin-token-file <file>', 'file that contains the access token of a server admin')
    .option('--server-name <name>', 'name of the homeserver; users of other servers are skipped')
    .option('--erase-unknown', 'also erase users that the homeserver does not know')
    .option(
      '--max-share <share>',
      'refuse if more than this share of the users would be erased',
      share,
      0.1,
    )
    .option('--dry-run', 'report only')
    .option(
      '--report <file>',
      'write every user without an open account to this file, as JSON lines',
    )
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
All users are looked up first. None is erased if a lookup fails, if the homeserver knows none of the users or has another
name, or if too many users would be erased. Each user is looked up again immediately before the deletion. Users unknown
to the homeserver are listed and kept. Synapse's database is only read; set its password in PGPASSWORD.

Exit codes: 0 done, 1 refused, or the homeserver gave no clear answer, 130 or 143 interrupted.

Examples:
  $ room-keys-server closed-accounts erase --from postgres://synapse@127.0.0.1/synapse --dry-run
  $ room-keys-server closed-accounts erase --homeserver http://127.0.0.1:8008 --admin-token-file /etc/room-keys/admin-token`,
    )
    .action(erase);
}

async function erase(options: ClosedAccountsOptions): Promise<void> {
  const { RoomKeysClosedAccounts, RoomKeysMaintenance, RoomKeysSourceError } =
    await import('nestjs-room-keys/operations');
  const source = await accountSource(options);
  const shown: RoomKeysClosedAccount[] = [];
  let erased = 0;
  const about = { what: 'users', shown: !options.json, brokenOff: 'Interrupted.' };
  const work = (write: (document: unknown) => void) =>
    withDatabase(options, (dataSource, history) =>
      withProgress(about, async (bar, signal) => {
        const maintenance = new RoomKeysMaintenance(dataSource);
        const { users: usersInAll } = await maintenance.statistics(0);
        const result = await new RoomKeysClosedAccounts(dataSource, history).erase(source, {
          ...options,
          signal,
          onProgress: (users) => bar.update(users, usersInAll),
          onUser: (user) => {
            write(user);
            if (shown.length < SHOWN) shown.push(user);
            if (user.outcome === 'erased') erased += 1;
          },
        });
        if (erased > 0) await maintenance.sweep();
        return result;
      }),
    );
  try {
    const result = await withReport(options.report, work);
    print(options.json, result, () => summary(result, shown, options));
    if (result.refusal !== undefined) throw new Failure(`No user was erased. ${result.refusal}`);
  } catch (error) {
    if (!(error instanceof RoomKeysSourceError)) throw error;
    const before =
      erased === 0 ? 'No user was erased.' : `${counted(erased, 'user')} had been erased.`;
    throw new Failure(`${before} ${error.message}`);
  }
}

async function accountSource({
  from,
  homeserver,
  adminTokenFile,
}: ClosedAccountsOptions): Promise<RoomKeysAccountSource> {
  if (from !== undefined) return { database: from };
  if (homeserver === undefined || adminTokenFile === undefined) {
    throw new Failure('Set --from, or --homeserver and --admin-token-file.', EXIT.usage);
  }
  if (!/^https?:\/\//.test(homeserver) || !URL.canParse(homeserver)) {
    throw new Failure('Set --homeserver to a URL such as http://127.0.0.1:8008.', EXIT.usage);
  }
  const token = await readFile(adminTokenFile, 'utf8').catch((error: unknown) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new Failure(
      `The file in --admin-token-file cannot be read (${code}). Check its path and mode.`,
    );
  });
  // what no header can hold would be quoted in an error
  if (!/^[\x21-\x7e]+$/.test(token.trim())) {
    throw new Failure('The file in --admin-token-file does not hold an access token.');
  }
  return { homeserverUrl: homeserver, adminToken: token.trim() };
}

function summary(
  { users: { open, closed, unknown, ofOtherServers }, erased }: RoomKeysClosedAccountsResult,
  shown: readonly RoomKeysClosedAccount[],
  { report }: ClosedAccountsOptions,
): string[] {
  const more = closed + unknown - shown.length;
  return [
    ...shown.map(
      ({ userId, account, outcome, backups, keys }) =>
        `${userId}: ${account}, ${outcome.replaceAll('-', ' ')} (${counted(backups, 'backup')}, ${counted(keys, 'key')})`,
    ),
    ...(more > 0
      ? [`… and ${grouped(more)} more${report ? '' : '; use --report FILE to list all'}`]
      : []),
    `Accounts: ${grouped(open)} open, ${grouped(closed)} closed, ${grouped(unknown)} unknown to the homeserver${ofOtherServers > 0 ? `, ${grouped(ofOtherServers)} of other servers` : ''}.`,
    `Erased ${counted(erased.backups, 'backup')} with ${counted(erased.keys, 'key')} of ${counted(erased.users, 'user')}.`,
  ];
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('Use a number from 0 to 1.');
}
