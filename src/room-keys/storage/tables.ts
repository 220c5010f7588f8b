/** The names of the five tables. */
export interface Tables {
  users: string;
  backups: string;
  keySets: string;
  rooms: string;
  keys: string;
}

/** Backticks quote a name in MySQL, whatever its `sql_mode`, and in SQLite. */
export function tableNames(prefix: string): Tables {
  const table = (name: string) => `\`${prefix}room_keys_${name}\``;
  return {
    users: table('users'),
    backups: table('backups'),
    keySets: table('key_sets'),
    rooms: table('rooms'),
    keys: table('keys'),
  };
}
