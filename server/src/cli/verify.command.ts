import type { Command } from 'commander';
import type { RoomKeysFinding, RoomKeysVerificationProgress } from 'nestjs-room-keys/operations';
import { unknownUser, withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, wholeNumber, userId } from './options.js';
import { counted, EXIT, print } from './output.js';
import { withProgress } from './progress.js';

interface VerifyCommandOptions extends DatabaseOptions {
  user?: string;
  show: number;
  json?: true;
}

/** `verify`: whether all that must hold of the stored rows holds. */
export function addVerify(program: Command): void {
  databaseCommand(program, 'verify')
    .description(
      'check every backup and key without changing anything; exit code 1 if something is wrong',
    )
    .option('--user <user-id>', 'check only this user', userId)
    .option(
      '--show <number>',
      'maximum number of findings to print; all are counted',
      wholeNumber,
      1000,
    )
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
Checks counts and sizes, versions, ids and their hashes, ranks, whether session_data can be read, and orphaned rows.
Can run while servers are in use: each user is read from a consistent snapshot.

Examples:
  $ room-keys-server verify
  $ room-keys-server verify --user '@alice:example.org' --json`,
    )
    .action(async (options: VerifyCommandOptions) => {
      const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
      const shown: RoomKeysFinding[] = [];
      let found = 0;
      let checked: RoomKeysVerificationProgress = { users: 0, backups: 0, keys: 0, keysInAll: 0 };
      const about = { what: 'keys', shown: !options.json, brokenOff: BROKEN_OFF };
      await withDatabase(options, (dataSource) =>
        withProgress(about, async (bar, signal) => {
          const findings = new RoomKeysMaintenance(dataSource).verify({
            userId: options.user,
            onProgress: (state) => {
              signal.throwIfAborted();
              checked = state;
              bar.update(state.keys, state.keysInAll);
            },
          });
          for await (const finding of findings) {
            found += 1;
            if (shown.length < options.show) shown.push(finding);
          }
          signal.throwIfAborted();
        }),
      );
      const { users, backups, keys } = checked;
      if (options.user !== undefined && users === 0 && found === 0) throw unknownUser(options.user);
      print(options.json, { found, checked: { users, backups, keys }, findings: shown }, () => [
        ...shown.map(sentence),
        ...(found > shown.length ? [`… and ${counted(found - shown.length, 'more finding')}`] : []),
        `${found === 0 ? 'All is well' : counted(found, 'finding')}: checked ${counted(users, 'user')}, ${counted(backups, 'backup')}, ${counted(keys, 'key')}.`,
      ]);
      if (found > 0) process.exitCode = EXIT.failed;
    });
}

const BROKEN_OFF = 'Interrupted before everything was checked. Run the same command again.';

function sentence({ code, message, userId: user, version, keySetId, ...ids }: RoomKeysFinding) {
  const place = [
    user,
    version && `version ${version}`,
    user === undefined && keySetId !== undefined && `key set ${keySetId}`,
    ids.roomId,
    ids.sessionId,
  ];
  return `${code}: ${place.filter(Boolean).join(' ')}: ${message}`;
}
