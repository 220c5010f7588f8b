import type { Command } from 'commander';
import { printCheck, serve } from '../run.js';
import { settingsHelp } from '../settings-text.js';
import { databaseCommand, type DatabaseOptions, environmentWith } from './options.js';

/** `serve`: the standalone server, as `npm start` runs it. */
export function addServe(program: Command): void {
  databaseCommand(program, 'serve')
    .description('run the server with the settings from the environment')
    .option('--check-config', 'check the settings, report whether the server would start, and exit')
    .addHelpText(
      'after',
      `
Examples:
  $ room-keys-server serve
  $ room-keys-server serve --check-config
  $ HOMESERVER_URL=http://127.0.0.1:8008 PORT=8091 room-keys-server serve --database mysql://room_keys@127.0.0.1/room_keys
`,
    )
    .addHelpText('after', settingsHelp)
    .action(async (options: DatabaseOptions & { checkConfig?: true }) => {
      const variables = environmentWith(options);
      if (options.checkConfig) {
        printCheck(variables);
        return;
      }
      // until the server handles signals: process 1 of a container ignores them without these
      const stop = () => process.exit(0);
      process.once('SIGTERM', stop).once('SIGINT', stop);
      await serve(variables, () => {
        process.off('SIGTERM', stop).off('SIGINT', stop);
      });
    });
}
