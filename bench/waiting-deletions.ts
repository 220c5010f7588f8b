/** A SELECT of how many deletions wait to be swept. @param prefix of the tables */
export const waitingDeletions = (prefix = '') =>
  `SELECT (SELECT COUNT(*) FROM ${prefix}room_keys_key_sets WHERE retired_at IS NOT NULL)
     + (SELECT COUNT(*) FROM ${prefix}room_keys_retired_rooms) AS waiting`;
