// Ways to break the code, and the suite that each of them must not get past.
const LOCKED_USER = 'src/room-keys/storage/locked-user.ts';
const BACKUP_ROW = 'src/room-keys/storage/backup-row.ts';
const LOCKED_BACKUP = 'src/room-keys/storage/locked-backup.ts';
const BACKUP_ROWS = 'src/room-keys/storage/backup-rows.ts';
const SERVICE = 'src/room-keys/room-keys.service.ts';
const KEY_UPLOAD = 'src/room-keys/key-upload.ts';
const REMOVALS = 'src/room-keys/removals.ts';
const REPLACEMENT = 'src/room-keys/replacement.ts';
const DATABASE = 'src/room-keys/storage/database/database.ts';
const POOLED = 'src/room-keys/storage/database/pooled.executor.ts';
const LENT_CONNECTION = 'src/room-keys/storage/database/lent-connection.ts';
const POSTGRES_CONNECTION = 'src/room-keys/storage/database/postgres-connection.ts';
const ERRORS = 'src/room-keys/storage/database/errors.ts';
const RETIRED = 'src/room-keys/storage/retired-keys.repository.ts';
const STORED_RANKS = 'src/room-keys/storage/stored-ranks.ts';
const JSON_BODY = 'src/room-keys/http/json-body.interceptor.ts';
const KEYS_BODY = 'src/room-keys/http/bodies.ts';

const SWEEPER = 'src/room-keys/storage/retired-keys.sweeper.ts';

const crashes = {
  suite: 'test/reliability/crashes.spec.ts',
  title: 'kill -9 of a server on MariaDB',
};
const silence = { suite: 'test/storage/silent-database.spec.ts', file: LENT_CONNECTION };

const IMPORT = 'src/room-keys/storage/import.repository.ts';
const CAUSAL_READS = 'src/room-keys/storage/database/mysql-settings.ts';

const cluster = { suite: 'test/reliability/cluster.spec.ts' };
const group = { suite: 'test/reliability/group.spec.ts' };
const MYSQL_MIGRATIONS = 'src/room-keys/storage/database/mysql-migrations.ts';
/** What is said of members that had to leave their group, or of a server that could not start. */
const HARMED = /✕ \d servers that start at once|is not in the group|did not say that/;

const concurrency = {
  // whether requests meet so that a break shows is a matter of chance
  tries: 3,
  suite: 'test/reliability/concurrency.spec.ts',
  title: 'MariaDB',
  words: /No serial order gives these answers|to be 5|failures|Expected|faults/,
};

const fuzzing = { suite: 'test/reliability/fuzz.spec.ts' };
const jsonReader = { suite: 'test/reliability/json-reader.spec.ts' };

const answerBeforeCommit = {
  file: POOLED,
  code: 'await connection.commit();\n      return result;',
  broken:
    'const release = connection.release.bind(connection);\n' +
    '      connection.release = () => {\n' +
    '        setTimeout(() => void connection.commit().then(release), 20);\n' +
    '        return Promise.resolve();\n' +
    '      };\n' +
    '      return result;',
};

const standby = { suite: 'test/reliability/failover.spec.ts', title: 'a host whose' };

const postgresConflicts = {
  suite: 'test/storage/conflicts.spec.ts',
  title: 'PostgreSQL',
};

export const breaks = [
  {
    suite: 'test/storage/locks.spec.ts',
    title: 'PostgreSQL',
    name: 'on PostgreSQL nothing locks the user',
    file: LOCKED_USER,
    code: 'if (dialect.locksOneTable) {',
    broken: 'if (dialect.locksOneTable && userId === "") {',
    words: /✕ is waited for by whatever changes a backup/,
  },
  {
    ...postgresConflicts,
    name: 'on PostgreSQL a change sees the state from before it waited',
    file: POSTGRES_CONNECTION,
    code: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
    broken: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE',
    words: /✕ an upload that waited while the keys changed/,
  },
  {
    ...postgresConflicts,
    name: 'on PostgreSQL a key that is there all of a sudden is no conflict',
    file: ERRORS,
    code: "  '23505', // PostgreSQL: unique_violation\n",
    broken: '',
    words: /✕ an upload whose new key is there all of a sudden/,
  },
  {
    ...postgresConflicts,
    name: 'on PostgreSQL a connection that an operator ends is a fault',
    file: ERRORS,
    code: "  '57P01', // admin_shutdown\n",
    broken: '',
    words: /✕ an upload whose connection an operator ends/,
  },
  {
    suite: 'test/storage/postgres-settings.spec.ts',
    name: 'on PostgreSQL a change is as the role has set its transactions',
    file: POSTGRES_CONNECTION,
    code: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
    broken: 'BEGIN ISOLATION LEVEL READ COMMITTED',
    words: /✕ with .*read_only.* keep all promises/,
  },
  {
    suite: 'test/storage/locks.spec.ts',
    name: 'uploads do not lock the user',
    file: LOCKED_USER,
    code: "WHERE u.user_id = ?${dialect.locksOneTable ? '' : dialect.forUpdate}",
    broken: 'WHERE u.user_id = ?',
    words: /✕ is waited for by whatever changes a backup/,
  },
  {
    ...concurrency,
    name: 'the etag stays where it is',
    file: BACKUP_ROW,
    code: 'this.etag = Math.max(this.etag + 1, least);',
    broken: '',
    words: /No serial order gives these answers/,
  },
  {
    ...concurrency,
    name: 'the etag moves when nothing changed',
    file: REMOVALS,
    code: 'return { state: before, count: 0 };',
    broken: 'return { state: await backup.touch(), count: 0 };',
    words: /No serial order gives these answers/,
  },
  {
    ...concurrency,
    name: 'the answer comes before the commit',
    ...answerBeforeCommit,
    words: /No serial order gives these answers|"status": 50/,
  },
  {
    ...concurrency,
    name: 'keys go into a backup that is not the current one',
    file: KEY_UPLOAD,
    code: 'if (backup.version !== currentVersion) {',
    broken: 'if (currentVersion === "0") {',
    words: /No serial order gives these answers/,
  },
  {
    ...concurrency,
    name: 'a better key stays outside',
    file: REPLACEMENT,
    code: 'else if (isBetter(key, rank)) writes.updates.push({ key, stored: rank });',
    broken:
      'else if (isBetter(key, rank) && index % 8 !== 7) writes.updates.push({ key, stored: rank });',
    words: /No serial order gives these answers/,
  },
  {
    ...concurrency,
    name: 'keys that changed since the snapshot are taken for the same',
    file: BACKUP_ROW,
    code: 'return keySetId === this.setId && etag === this.etag && changedAt === this.changedAt;',
    broken: 'return keySetId + etag + changedAt > 0;',
    words: /No serial order gives these answers|"status": 500/,
  },
  {
    ...concurrency,
    name: 'the bytes of replaced keys are not counted',
    file: LOCKED_BACKUP,
    code: 'const growth = key.sessionData.length - before;',
    broken: 'const growth = key.sessionData.length + 0 * before;',
    words: /bytes, not/,
  },
  {
    ...concurrency,
    name: 'a deleted backup leaves no current one',
    file: LOCKED_BACKUP,
    code: '(SELECT MAX(version) FROM ${backups} WHERE user_id = ?) WHERE user_id = ?`,\n      [this.row.user, this.row.user],',
    broken: 'NULL WHERE user_id = ?`,\n      [this.row.user],',
    words: /No serial order gives these answers/,
  },
  {
    ...concurrency,
    name: 'the sweeper leaves rooms behind',
    file: RETIRED,
    code: 'for (const table of [tables.rooms, tables.retiredRooms]) {',
    broken: 'for (const table of [tables.retiredRooms]) {',
    words: /was swept, and rows of it are there/,
  },
  {
    ...concurrency,
    name: 'deleted keys are not retired',
    file: LOCKED_BACKUP,
    code: 'await this.retireKeySet();\n    row.empty(',
    broken: 'row.empty(',
    words: /is nobody's, and not retired/,
  },
  {
    ...concurrency,
    name: 'nothing is tried again after a conflict',
    suite: 'test/storage/conflicts.spec.ts',
    file: DATABASE,
    code: 'const ATTEMPTS = 10;',
    broken: 'const ATTEMPTS = 1;',
    words: /✕ an upload that is the victim of a deadlock is stored/,
  },
  {
    ...crashes,
    name: 'an upload is two transactions',
    // a kill has to come between the two
    tries: 5,
    file: LOCKED_BACKUP,
    code: 'for (const { sessionData } of keys) this.row.noteSize(sessionData);',
    broken:
      "await this.connection.execute('COMMIT');\n" +
      '    await new Promise((resolve) => setTimeout(resolve, 20));\n' +
      "    await this.connection.execute('START TRANSACTION');\n" +
      '    for (const { sessionData } of keys) this.row.noteSize(sessionData);',
    words: /No serial order gives these answers|rows, not/,
  },
  {
    ...crashes,
    name: 'the answer comes before the commit, and a crash between the two',
    ...answerBeforeCommit,
    words: /No serial order gives these answers|rows, not/,
  },
  {
    ...crashes,
    name: 'a sweep that a crash broke off is nobody’s',
    file: SWEEPER,
    code: 'onApplicationBootstrap(): void {\n    this.wake();',
    broken: 'onApplicationBootstrap(): void {',
    words: /still wait to be swept/,
  },
  {
    ...crashes,
    name: 'a lost connection is called a fault of the server',
    title: 'kill -9 of MariaDB',
    file: ERRORS,
    code: "  'PROTOCOL_CONNECTION_LOST',\n",
    broken: '',
    words: /"status": 500/,
  },
  {
    ...silence,
    name: 'a connection goes back in the middle of a transaction',
    title: 'could not be rolled back on MariaDB',
    code: "if (this.transaction !== 'none') this.discard();",
    broken: '',
    words: /✕ is not what the next request finds itself in/,
  },
  {
    ...silence,
    name: 'an answer is waited for without a bound',
    title: 'MariaDB however many requests',
    code: 'return within(asked, this.timeoutMs, () => {',
    broken: 'return within(asked, 2 ** 31 - 1, () => {',
    words: /✕ however many requests come/,
  },
  {
    ...silence,
    name: 'a silent connection stays in the pool',
    title: 'MariaDB however many requests',
    code: '      this.discard(error);\n',
    broken: '',
    words: /✕ however many requests come/,
  },
  {
    ...fuzzing,
    name: 'a session has the name of what every object has',
    file: KEYS_BODY,
    code: "checkId('A session id', sessionId);",
    broken:
      "if (sessionId in {} && sessionId !== '__proto__') throw new TypeError('It is no id.');",
    words: /the server is at fault|it is not refused as it should be|the status is wrong/,
  },
  {
    ...fuzzing,
    name: 'what follows the JSON is not looked at',
    file: JSON_BODY,
    code: 'findJsonFault(text, {',
    broken: "findJsonFault(text.slice(0, text.lastIndexOf('}') + 1), {",
    words: /it is not refused as it should be/,
  },
  {
    ...fuzzing,
    name: 'a backup is stored before its algorithm is refused',
    file: SERVICE,
    code: 'throw unsupportedAlgorithm(this.algorithms);',
    broken:
      'await this.repository.createBackup(userId, information);\n' +
      '      throw unsupportedAlgorithm(this.algorithms);',
    words: /the body is wrong: GET|it is not refused as it should be: GET|something changed/,
  },
  {
    ...fuzzing,
    name: 'keys that were refused are stored afterwards',
    file: KEY_UPLOAD,
    code: 'throw wrongVersion(currentVersion);',
    broken:
      'setImmediate(() => void this.store(userId, currentVersion, keys, deviceId));\n' +
      '          throw wrongVersion(currentVersion);',
    words: /the body is wrong|it is not refused as it should be: GET|something changed|etag/,
  },
  {
    ...fuzzing,
    name: 'an error holds a stack',
    file: JSON_BODY,
    code: "notJson('The body is not JSON.')",
    broken: 'notJson(String(new Error(`at JSON.parse (1)`).stack))',
    words: /it tells of/,
  },
  {
    ...fuzzing,
    name: 'what is wrong is told before what was right is answered',
    file: 'server/src/malformed-requests.ts',
    code: 'if (answer?.req.complete)',
    broken: 'if (answer?.req.complete && answer.headersSent)',
    words: /got the answer to the bytes that followed/,
  },
  {
    ...jsonReader,
    name: 'an escaped quote ends a string',
    file: 'src/room-keys/json/json-text.ts',
    code: 'if ((quote - before) % 2 === 1) return quote + 1;',
    broken: 'return quote + 1;',
    words:
      /as keys of all rooms|as keys of a room|as a key|its text is another|backup, it is|Unterminated|JSON/,
  },
  {
    ...jsonReader,
    name: 'a name may come twice',
    file: KEYS_BODY,
    code: 'if (!names.add(name)) throw badJson(`${what()} has the same name twice`);',
    broken: 'names.add(name);',
    words: /it is taken/,
  },
  {
    ...cluster,
    name: 'in a cluster two deletions of backups do not meet',
    file: LOCKED_BACKUP,
    code: 'SET revision = revision + 1, current_version =\n',
    broken: 'SET current_version =\n',
    words: /✕ those that delete two backups/,
  },
  {
    ...cluster,
    name: 'in a cluster an import does not meet a deletion',
    file: IMPORT,
    code: 'SET revision = revision + 1, last_version',
    broken: 'SET last_version',
    words: /✕ one that imports a backup/,
  },
  {
    ...cluster,
    name: 'in a cluster an upload does not meet a newer backup',
    file: BACKUP_ROWS,
    code: 'SET next_seq = next_seq + 1 WHERE',
    broken: 'SET next_seq = next_seq WHERE',
    words: /✕ one that stores a key meets/,
  },
  {
    ...cluster,
    name: 'in a cluster a room without keys is removed',
    file: LOCKED_BACKUP,
    code: 'if (!room || Number(room.key_count) === 0) return false;',
    broken: 'if (!room) return false;',
    words: /✕ one that stores a key in a room without keys/,
  },
  {
    ...cluster,
    name: 'in a cluster an erasure does not see that a backup is being emptied',
    file: BACKUP_ROWS,
    code: 'SELECT key_set_id, key_count FROM ${backups} WHERE user_id = ?${dialect.forUpdate}`',
    broken: 'SELECT key_set_id, key_count FROM ${backups} WHERE user_id = ?`',
    words: /✕ one that erases a user/,
  },
  {
    ...cluster,
    // whether two servers are at it at once is a matter of chance
    tries: 3,
    name: 'in a cluster migrations are locked on one node only',
    file: MYSQL_MIGRATIONS,
    code: 'if (!session?.isMultiPrimary) return',
    broken: 'if (session) return',
    words: /✕ makes its tables once|Duplicate|already exists|did not say that/,
  },
  {
    ...cluster,
    name: 'in a cluster reads do not wait for other nodes',
    file: CAUSAL_READS,
    code: 'const READS = 1;',
    broken: 'const READS = 8;', // that of SHOW
    words: /✕ a backup that was just made through one node/,
  },
  {
    ...group,
    title: 'start at once through different members',
    name: 'in a group migrations are locked on one member only',
    file: MYSQL_MIGRATIONS,
    code: 'if (!session?.isMultiPrimary) return',
    broken: 'if (session) return',
    words: HARMED,
  },
  {
    ...group,
    title: 'start at once through different members',
    name: 'in a group a table is the lock of migrations',
    file: MYSQL_MIGRATIONS,
    code: "session.kind === 'Galera cluster' ? tableLock : rowLock",
    broken: "session.kind === 'Galera cluster' ? tableLock : tableLock",
    words: HARMED,
  },
  {
    ...group,
    title: 'all take writes whose nodes lag',
    name: 'in a group reads do not wait for other members',
    file: CAUSAL_READS,
    code: "BEFORE_ON_PRIMARY_FAILOVER: 'BEFORE',",
    broken: "BEFORE_ON_PRIMARY_FAILOVER: 'EVENTUAL',",
    words: /✕ a backup that was just made through one node/,
  },
  {
    suite: 'test/storage/deleted-rooms.spec.ts',
    name: 'a key of a deleted room counts for an upload',
    file: STORED_RANKS,
    code: 'return roomNo === undefined ? undefined : this.rows.get(`${hash}${roomNo}`);',
    broken: 'return [...this.rows].find(([row]) => row.startsWith(hash))?.[1];',
    words: /✕ gives way to the same keys/,
  },
  {
    suite: 'test/storage/clocks.spec.ts',
    name: 'what may be removed is not looked at again under a lock',
    file: RETIRED,
    code: 'if (!mark) return { rows: 0 };',
    broken: '',
    words: /✕ that an import has taken since it was found stays/,
  },
  {
    suite: 'src/room-keys/storage/database/places.spec.ts',
    name: 'all changes of a user wait in the database',
    file: 'src/room-keys/storage/database/places.ts',
    code: 'semaphore(changes, 1)',
    broken: 'semaphore(changes + 100, 100)',
    words: /✕ let one user have one change at a time/,
  },
  {
    ...standby,
    name: 'a commit that did not wait for the standby is acknowledged',
    file: POSTGRES_CONNECTION,
    code: 'if (notices.has(WARNING)) {',
    broken: 'if (notices.has("")) {',
    words: /✕ to a primary that did not wait for its standby/,
  },
  {
    ...standby,
    name: 'what the standby may lack is acknowledged',
    file: KEY_UPLOAD,
    code: 'snapshot?.isConfirmed && snapshot.isCurrent',
    broken: 'snapshot?.isCurrent',
    words: /✕ to a primary that was away/,
  },
  {
    ...standby,
    name: 'a standby is read',
    file: 'src/room-keys/storage/database/postgres.dialect.ts',
    code: 'await connection.checkPrimary();',
    broken: '',
    words: /✕ to a standby: it reads and stores nothing/,
  },
  {
    suite: 'test/transfer/import.spec.ts',
    title: 'SQLite',
    name: 'an import takes an etag that clients know for other keys',
    file: 'src/operations/transfer/backup-merge.ts',
    code: 'return this.action.backup.etag + (isEqual ? 0 : 1);',
    broken: 'return this.action.backup.etag + (isEqual ? 0 : 0);',
    words: /✕ takes what is missing or better|✕ steps over an etag/,
  },
  {
    suite: 'test/transfer/import.spec.ts',
    title: 'SQLite',
    name: 'a backup that clients changed is deleted as in the source',
    file: 'src/operations/transfer/backup-merge.ts',
    code: 'const isImported = !clientsChanged && record?.etag === stored.etag;',
    broken: 'const isImported = !clientsChanged;',
    words: /✕ keeps it when the source has deleted it/,
  },
  {
    suite: 'src/room-keys/http/body-reader.spec.ts',
    name: 'a body is read into memory that another one may have',
    file: 'src/room-keys/http/body-reader.ts',
    code: 'const memory = acquireMemory(length);',
    broken: 'const memory = acquireMemory(length);\n  releaseMemory(memory);',
    words: /bodies that are read at the same time stay apart/,
  },
];
