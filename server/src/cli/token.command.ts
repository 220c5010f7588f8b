import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { userId } from './options.js';
import { print } from './output.js';

/** `token create`: an access token for development. */
export function addToken(program: Command): void {
  program
    .command('token')
    .description('development access tokens')
    .command('create')
    .description('generate an access token for DEV_TOKENS of a server on a loopback address')
    .option('--user <user-id>', 'owner of the token', userId, '@dev:localhost')
    .option('--json', 'print a JSON document')
    .addHelpText(
      'after',
      `
Nothing is stored: the server accepts the token as long as it is in DEV_TOKENS.

Example:
  $ DEV_TOKENS=$(room-keys-server token create --user '@alice:localhost') room-keys-server serve`,
    )
    .action(({ user, json }: { user: string; json?: true }) => {
      const token = randomBytes(24).toString('base64url');
      const setting = `${token}=${user}`;
      print(json, { token, userId: user, DEV_TOKENS: setting }, () => [setting]);
    });
}
