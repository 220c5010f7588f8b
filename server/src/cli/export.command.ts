import { createWriteStream, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { RoomKeysTransferProgress } from 'nestjs-room-keys/operations';
import { unknownUser, withDatabase } from './database.js';
import { databaseCommand, type DatabaseOptions, requireOption, userId } from './options.js';
import { counted, Failure, print } from './output.js';
import { withProgress } from './progress.js';

interface ExportCommandOptions extends DatabaseOptions {
  to: string;
  force?: true;
  user?: string;
  json?: true;
}

/** `export jsonl`: writes backups into a file. */
export function addExport(program: Command): void {
  const group = program
    .command('export')
    .description('export backups to a file that can be imported into any database');
  requireOption(databaseCommand(group, 'jsonl'), '--to <file>', 'output file, or - for stdout')
    .description('export the backups of all users, or of one, as JSON lines')
    .option('--force', 'replace the file if it exists')
    .option('--user <user-id>', 'export only this user', userId)
    .option('--json', 'print a JSON document at the end, unless the output is stdout')
    .addHelpText(
      'after',
      `
Can run while servers are in use: each user is exported from a consistent snapshot. Each backup ends with a checksum,
and the file with its totals. The file appears under its name only when it is complete.

Examples:
  $ room-keys-server export jsonl --to backups.jsonl
  $ room-keys-server export jsonl --to alice.jsonl --user '@alice:example.org'
  $ room-keys-server export jsonl --to - | gzip > backups.jsonl.gz`,
    )
    .action(async (options: ExportCommandOptions) => {
      refuseToReplace(options);
      const { RoomKeysTransfer } = await import('nestjs-room-keys/operations');
      let done: RoomKeysTransferProgress = { users: 0, usersInAll: 0, keys: 0, keysInAll: 0 };
      const about = { what: 'keys', shown: !options.json, brokenOff: brokenOff(options.to) };
      await withDatabase(options, (dataSource) =>
        withProgress(about, (bar, signal) =>
          write(
            options.to,
            signal,
            new RoomKeysTransfer(dataSource).exportJsonl({
              userId: options.user,
              onProgress: (state) => {
                // reported before anything is written
                if (state.usersInAll === 0 && options.user !== undefined) {
                  throw unknownUser(options.user);
                }
                done = state;
                bar.update(state.keys, state.keysInAll);
              },
            }),
          ),
        ),
      );
      const { users, keys } = done;
      if (options.to !== '-') {
        print(options.json, { users, keys }, () => [
          `Wrote ${counted(keys, 'key')} of ${counted(users, 'user')} to ${options.to}.`,
        ]);
      }
    });
}

/** A rename would replace a file, and a device too. */
function refuseToReplace({ to, force }: ExportCommandOptions): void {
  const found = to === '-' ? undefined : statSync(to, { throwIfNoEntry: false });
  if (found && !found.isFile())
    throw new Failure(`${to} is not a regular file. Set --to to another path, or to - for stdout.`);
  if (found && !force)
    throw new Failure(`${to} exists. Use --force to replace it, or set --to to another path.`);
}

const brokenOff = (to: string) =>
  `Interrupted. ${to === '-' ? 'The output is incomplete' : 'No file was written'}; run the same command again.`;

async function write(to: string, signal: AbortSignal, text: AsyncIterable<string>): Promise<void> {
  // bytes: lines are handed on as they come, however many of them wait
  const source = Readable.from(text, { objectMode: false, highWaterMark: 256 * 1024 });
  const part = `${to}.part`;
  try {
    if (to === '-') {
      await pipeline(source, process.stdout, { end: false, signal });
      return;
    }
    await pipeline(source, createWriteStream(part, { mode: 0o600 }), { signal });
    signal.throwIfAborted();
    await rename(part, to);
  } catch (error) {
    if (to !== '-') await rm(part, { force: true });
    // the reason, where the pipeline has an error of its own for it
    signal.throwIfAborted();
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall === undefined || code === undefined || !/^E[A-Z]+$/.test(code)) throw error;
    throw new Failure(`The file in --to cannot be written (${code}). Check the path.`);
  }
}
