/** What an import does, for each state of a version in the source beside each state of it here. */
import { hashOf } from '../../room-keys/storage/import-records.js';
import type { StoredBackup, StoredUser } from '../../room-keys/storage/stored-users.js';
import { type Action, decide } from './decide.js';
import {
  type SourceVersion,
  type SourceVersions,
  type ValidBackup,
  ValidationError,
} from './validate.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const authData = (publicKey: string, signature = 'first') =>
  JSON.stringify({ public_key: publicKey, signatures: signature });

/** Versions in the source; the version that the tables are about is 2. */
const valid = (version: number, fields: Partial<ValidBackup> = {}): SourceVersion => ({
  version,
  deleted: false,
  backup: {
    version,
    algorithm: ALGORITHM,
    authData: authData(`key ${version}`),
    etag: 5,
    source: { version, deleted: false, algorithm: '', authData: '', etag: 5 },
    ...fields,
  },
});
const unreadable = (version: unknown): SourceVersion => ({
  version,
  deleted: false,
  backup: new ValidationError('It is broken.'),
});
const deleted = (one: SourceVersion): SourceVersion => ({ ...one, deleted: true });
const source = (versions: SourceVersion[], more: Partial<SourceVersions> = {}): SourceVersions => ({
  versions,
  lastVersion: 2,
  ...more,
});

const inSource: Record<string, SourceVersions> = {
  'not listed': source([]),
  missing: source([], { othersAreDeleted: true }),
  reserved: source([], { othersAreDeleted: true, reserved: [2] }),
  deleted: source([deleted(valid(2))]),
  unreadable: source([unreadable(2)]),
  'as imported': source([valid(2)]),
  'more keys': source([valid(2, { etag: 6 })]),
  'new auth_data': source([valid(2, { authData: authData('key 2', 'second') })]),
  older: source([valid(2, { etag: 4, authData: authData('key 2', 'zeroth') })]),
  another: source([valid(2, { authData: authData('another') })]),
};

/** Backups here. */
const imported = (version: number, fields: Partial<StoredBackup> = {}): StoredBackup => ({
  version,
  keySetId: version,
  algorithm: ALGORITHM,
  authData: authData(`key ${version}`),
  etag: 5,
  keyCount: 1,
  largestKey: 1,
  createdAt: 1,
  changedAt: 1,
  record: { sourceEtag: 5, etag: 5, authDataHash: hashOf(authData(`key ${version}`)) },
  ...fields,
});
const stored = (backups: StoredBackup[], more: Partial<StoredUser> = {}): StoredUser => ({
  lastVersion: 2,
  currentVersion: backups.at(-1)?.version,
  reserved: [],
  wasImported: true,
  backups,
  ...more,
});

const here: Record<string, StoredUser | undefined> = {
  'no user': undefined,
  'never given': stored([], { lastVersion: 1 }),
  reserved: stored([], { reserved: [2] }),
  deleted: stored([]),
  'as imported': stored([imported(2)]),
  'imported and merged': stored([
    imported(2, { etag: 9, record: { ...imported(2).record!, etag: 9 } }),
  ]),
  'new keys': stored([imported(2, { etag: 6 })]),
  'new keys before the last import': stored([
    imported(2, { record: { ...imported(2).record!, etag: 4 } }),
  ]),
  'new auth_data': stored([imported(2, { authData: authData('key 2', 'here') })]),
  'made here': stored([imported(2, { record: undefined })]),
};

const shown = (action: Action): string => {
  if (action.type === 'merge' && action.takesAuthData) return 'merge+auth';
  return 'reason' in action ? action.reason.code : action.type;
};

/** Rows: in the source; columns: here. */
function parse(table: string): [inSource: string, here: string, expected: string][] {
  const [head = [], ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return rows.flatMap(([name = '', ...cells]) =>
    cells.map((cell, n): [string, string, string] => [name, head[n + 1] ?? '', cell]),
  );
}

const TABLE = `
              | no user       | never given   | reserved      | deleted      | as imported       | imported and merged | new keys          | new keys before the last import | new auth_data     | made here
not listed    | -             | -             | -             | -            | -                 | -                   | -                 | -                               | -                 | -
missing       | -             | -             | -             | -            | deleted-in-source | deleted-in-source   | deleted-in-source | deleted-in-source               | deleted-in-source | deleted-in-source
reserved      | -             | -             | -             | -            | -                 | -                   | -                 | -                               | -                 | -
deleted       | -             | -             | -             | -            | deleted-in-source | deleted-in-source   | deleted-in-source | deleted-in-source               | deleted-in-source | deleted-in-source
unreadable    | newest-backup | newest-backup | newest-backup | deleted-here | newest-backup     | newest-backup       | newest-backup     | newest-backup                   | newest-backup     | newest-backup
as imported   | create        | create        | create        | deleted-here | merge             | merge               | merge             | merge                           | merge             | merge
more keys     | create        | create        | create        | deleted-here | merge             | merge               | merge             | merge                           | merge             | merge
new auth_data | create        | create        | create        | deleted-here | merge+auth        | merge+auth          | merge+auth        | merge+auth                      | merge             | merge
older         | create        | create        | create        | deleted-here | merge             | merge               | merge             | merge                           | merge             | merge
another       | create        | create        | create        | deleted-here | conflict          | conflict            | conflict          | conflict                        | conflict          | conflict
`;

const cases = parse(TABLE);

describe('an import decides', () => {
  it('about every state', () => {
    expect(cases).toHaveLength(Object.keys(inSource).length * Object.keys(here).length);
    for (const [there, ours] of cases) {
      expect(Object.keys(inSource)).toContain(there);
      expect(Object.keys(here)).toContain(ours);
    }
  });

  it.each(cases)('%s in the source, %s here: %s', (there, ours, expected) => {
    const decided = (options = {}) => {
      const { actions, ...rest } = decide(inSource[there]!, here[ours], options);
      return { actions: actions.map(shown).join() || '-', ...rest };
    };
    const isReserved =
      !here[ours]?.backups.length &&
      ours !== 'deleted' &&
      (['reserved', 'unreadable'].includes(there) ||
        (there === 'not listed' && ours === 'reserved'));
    const reserved = isReserved ? [2] : [];
    expect(decided()).toEqual({ actions: expected, lastVersion: 2, reserved });

    const isUnread = there === 'as imported' && expected === 'merge' && ours !== 'made here';
    const changed = isUnread ? 'unchanged' : expected;
    expect(decided({ changedOnly: true }).actions).toBe(changed);

    const isAsImported = ['as imported', 'imported and merged'].includes(ours);
    const isFollowed = expected === 'deleted-in-source' && isAsImported;
    expect(decided({ followDeletions: true }).actions).toBe(isFollowed ? 'delete' : expected);
  });
});

describe('an import whose newest backup cannot be read', () => {
  const broken = source([valid(1), deleted(valid(2)), valid(3), unreadable(4)], { lastVersion: 4 });

  it('leaves the user out, reports it once, and reserves all versions', () => {
    const { actions, ...rest } = decide(broken, undefined);
    expect(actions.map(shown)).toEqual(['skip', 'skip', 'newest-backup']);
    expect(rest).toEqual({ lastVersion: 4, reserved: [1, 3, 4] });
  });

  it('leaves backups that are here as they are', () => {
    const { actions, ...rest } = decide(broken, stored([imported(1)], { lastVersion: 1 }), {
      followDeletions: true,
    });
    expect(actions.map(shown)).toEqual(['skip', 'skip', 'newest-backup']);
    expect(rest).toEqual({ lastVersion: 4, reserved: [3, 4] });
  });

  it('creates all of them once it can be read', () => {
    const readable = source([valid(1), deleted(valid(2)), valid(3), valid(4)], { lastVersion: 4 });
    const { actions, reserved } = decide(
      readable,
      stored([], { lastVersion: 4, reserved: [1, 3, 4] }),
    );
    expect(actions.map(({ type, version }) => [type, version])).toEqual([
      ['create', 1],
      ['create', 3],
      ['create', 4],
    ]);
    expect(reserved).toEqual([]);
  });

  it('goes on with the older ones once it was deleted here, or in the source', () => {
    const owner = stored([], { lastVersion: 4, reserved: [1, 3] });
    expect(decide(broken, owner).actions.map(shown)).toEqual(['create', 'create', 'deleted-here']);
    const gone = source([...broken.versions.slice(0, 3), deleted(unreadable(4))]);
    expect(decide(gone, undefined).actions.map(shown)).toEqual(['create', 'create']);
  });

  it('skips an older one alone', () => {
    const { actions, reserved } = decide(
      source([unreadable(1), valid(2), unreadable('two'), unreadable(-3)]),
      undefined,
    );
    expect(actions.map(shown)).toEqual(['backup', 'create', 'backup', 'backup']);
    expect(reserved).toEqual([1]);
  });
});

describe('an import of a newer backup than the current one', () => {
  const newer = valid(3);
  const currents: [name: string, inSource: SourceVersion[], here: StoredBackup, own: boolean][] = [
    ['is the same in the source', [valid(2)], imported(2), false],
    ['was made here, and is the same', [valid(2)], imported(2, { record: undefined }), false],
    ['got new keys here', [valid(2)], imported(2, { etag: 7 }), false],
    ['is unreadable in the source now', [unreadable(2)], imported(2), false],
    ['is unreadable in the source', [unreadable(2)], imported(2, { record: undefined }), true],
    ['was deleted in the source', [deleted(valid(2))], imported(2), false],
    [
      'was deleted in the source and got new keys here',
      [deleted(valid(2))],
      imported(2, { etag: 7 }),
      true,
    ],
    ['is another', [valid(2, { authData: authData('x') })], imported(2), true],
    ['is not in the source', [], imported(2, { record: undefined }), true],
  ];

  it.each(currents)('where the current one %s', (_, versions, current, own) => {
    const { actions, ...rest } = decide(
      source([valid(1), ...versions, newer], { lastVersion: 3 }),
      stored([current], { reserved: [1] }),
    );
    expect(actions.filter(({ version }) => version === 3).map(shown)).toEqual([
      own ? 'would-replace-current' : 'create',
    ]);
    // an older one replaces nothing
    expect(actions.filter(({ version }) => version === 1).map(shown)).toEqual(['create']);
    expect(rest).toEqual({ lastVersion: 3, reserved: own ? [3] : [] });
  });

  it('is skipped again the next time, and created beneath one that is newer still', () => {
    const there = source([newer], { lastVersion: 3 });
    const own = imported(2, { record: undefined });
    const owner = stored([own], { lastVersion: 3, reserved: [3] });
    expect(decide(there, owner).actions.map(shown)).toEqual(['would-replace-current']);
    const owns4 = stored([own, imported(4, { record: undefined })], {
      lastVersion: 4,
      reserved: [3],
    });
    expect(decide(there, owns4).actions.map(shown)).toEqual(['create']);
  });
});

describe('an import of a user who has nothing here any more', () => {
  const there = source([valid(1), valid(2)]);
  const erased = stored([], { wasImported: false });
  const decided = (...args: Parameters<typeof decide>) => decide(...args).actions.map(shown);

  it('says so of one who was erased, or whom alone it is about', () => {
    expect(decided(there, erased)).toEqual(['deleted-here', 'deleted-here', 'left-out']);
    // who deleted what was imported has decided so
    expect(decided(there, stored([]))).toEqual(['deleted-here', 'deleted-here']);
    const userId = '@alice:hs1';
    expect(decided(there, stored([]), { userId })).toEqual([
      'deleted-here',
      'deleted-here',
      'left-out',
    ]);
    // who has a backup here is not left out
    expect(decided(there, stored([imported(2)], { wasImported: false }))).toEqual([
      'deleted-here',
      'merge',
    ]);
    expect(decided(source([deleted(valid(2))]), erased)).toEqual([]);
  });

  it('creates all backups again with `again`, and keeps those that the user created here since', () => {
    const again = { again: true, userId: '@alice:hs1' };
    const { actions, ...rest } = decide(there, erased, again);
    expect(actions.map(shown)).toEqual(['create', 'create']);
    expect(rest).toEqual({ lastVersion: 2, reserved: [] });
    const own = stored([imported(3, { record: undefined })], { lastVersion: 3 });
    expect(decided(there, own, again)).toEqual(['create', 'create']);
    const conflict = stored([imported(2, { record: undefined, authData: authData('x') })]);
    expect(decided(there, conflict, again)).toEqual(['create', 'conflict']);
  });
});
