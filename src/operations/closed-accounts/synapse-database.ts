import { openSourceDatabase } from '../transfer/source-database.js';
import { SourceError } from '../transfer/source-error.js';
import { type Accounts, type AccountState, serverOf } from './accounts.js';

/**
 * The accounts in Synapse's database, which is only read.
 *
 * @param from `postgres://user@host/database`, or the path of a SQLite file
 * @throws SourceError where it cannot be read
 */
export async function synapseDatabase(from: string): Promise<Accounts> {
  const database = await openSourceDatabase(from);
  return {
    serverName: async () => {
      const [user] = await database.query("SELECT name FROM users WHERE name LIKE '@%:%' LIMIT 1");
      if (typeof user?.name !== 'string') {
        throw new SourceError(
          "Synapse's database has no users. Check that --from is the right one.",
        );
      }
      return serverOf(user.name);
    },
    states: async (userIds) => {
      if (userIds.length === 0) return [];
      const found = await database.query(
        `SELECT name, deactivated FROM users WHERE name IN (${userIds.map(() => '?').join(', ')})`,
        [...userIds],
      );
      const states = new Map(found.map((row) => [row.name, stateOf(row.deactivated)]));
      return userIds.map((userId) => states.get(userId) ?? 'unknown');
    },
    close: () => database.close(),
  };
}

function stateOf(deactivated: unknown): AccountState {
  if (deactivated === 0) return 'open';
  if (deactivated === 1) return 'closed';
  throw new SourceError(
    'The column deactivated of the table users holds neither 0 nor 1. This version of Synapse is not supported.',
  );
}
