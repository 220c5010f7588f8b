/** The names of the six tables. */
export interface Tables {
  users: string;
  backups: string;
  keySets: string;
  rooms: string;
  retiredRooms: string;
  keys: string;
}

/**
 * @param prefix the DataSource's `entityPrefix`
 * @param quote quotes a name
 */
export function tableNames(prefix: string, quote: (name: string) => string): Tables {
  const table = (name: string) => quote(`${prefix}room_keys_${name}`);
  return {
    users: table('users'),
    backups: table('backups'),
    keySets: table('key_sets'),
    rooms: table('rooms'),
    retiredRooms: table('retired_rooms'),
    keys: table('keys'),
  };
}
