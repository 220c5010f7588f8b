import { exec } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram, kinds, type ServerKind } from '../support/servers.mjs';
import { answers, PrivateServer } from './private-server.js';

/** A private database server with durable commits: each is on the disk. */
export interface KillableDatabase {
  /** `mysql://test@127.0.0.1:40123/` for example. */
  url: string;
  /**
   * `kill -9`, and a start.
   *
   * @param gone what to wait for before it is started, where the start is ours
   */
  kill: (gone: () => Promise<unknown>) => Promise<void>;
  /** Removes it, if it belongs to the test. */
  end: () => Promise<void>;
}

/**
 * The kinds that there are, each by what starts one: a command of whoever runs the tests where
 * `TEST_MYSQL_KILL`, `TEST_MARIADB_KILL` or `TEST_POSTGRES_KILL` holds one for the server of the URL beside it, else a
 * program on this machine.
 */
export const killableDatabases = kinds.flatMap((kind) => {
  const url = process.env[kind.variable];
  const command = process.env[kind.variable.replace('URL', 'KILL')];
  const { id: type, name } = kind;
  if (url && command) return [{ name, type, start: () => ofCommand(kind, url, command) }];
  const program = findProgram(kind);
  if (program) return [{ name, type, start: () => PrivateServer.start(kind, program) }];
  process.stderr.write(
    `${kind.name} is not killed: ${kind.variable.replace('URL', 'KILL')} is not set.\n`,
  );
  return [];
});

function ofCommand(kind: ServerKind, url: string, command: string): Promise<KillableDatabase> {
  return Promise.resolve({
    url,
    kill: async () => {
      await promisify(exec)(command);
      await answers(kind, url);
    },
    end: () => Promise.resolve(),
  });
}
