/** The names of the tables. */
export interface Tables {
  users: string;
  backups: string;
  keySets: string;
  rooms: string;
  retiredRooms: string;
  keys: string;
  imports: string;
  deleted: string;
  history: string;
}

/**
 * @param prefix the DataSource's `entityPrefix`
 * @param inSql a table's name as statements have it
 */
export function tableNames(prefix: string, inSql: (name: string) => string): Tables {
  const table = (name: string) => inSql(`${prefix}room_keys_${name}`);
  return {
    users: table('users'),
    backups: table('backups'),
    keySets: table('key_sets'),
    rooms: table('rooms'),
    retiredRooms: table('retired_rooms'),
    keys: table('keys'),
    imports: table('imports'),
    deleted: table('deleted'),
    history: table('history'),
  };
}
