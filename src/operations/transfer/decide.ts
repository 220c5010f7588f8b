/** What an import does with a user: decided by what the source and this server have, without reading a key. */
import { isDeepStrictEqual } from 'node:util';
import { hashOf } from '../../room-keys/storage/import-records.js';
import type { StoredBackup, StoredUser } from '../../room-keys/storage/stored-users.js';
import {
  hasImportedAuthData,
  hasOwnCurrent,
  isAsImported,
  isMissing,
  isSameBackup,
  isStored,
  newestOf,
  wasDeletedHere,
} from './comparison.js';
import type { RoomKeysImportOptions, RoomKeysTransferIssueCode } from './transfer.js';
import {
  isVersion,
  type SourceVersion,
  type SourceVersions,
  type ValidBackup,
  ValidationError,
} from './validate.js';

/** Why a version is not imported. */
export interface Reason {
  code: RoomKeysTransferIssueCode;
  message: string;
}

export type Action =
  | { type: 'create'; version: number; backup: ValidBackup }
  | {
      type: 'merge';
      version: number;
      backup: ValidBackup;
      stored: StoredBackup;
      /** Whether `auth_data` of the source replaces the stored one. */
      takesAuthData: boolean;
    }
  | { type: 'delete'; version: number; stored: StoredBackup }
  /** Not read, since nothing has changed in the source. */
  | { type: 'unchanged'; version: number }
  | { type: 'skip'; version: unknown; reason?: Reason }
  /** There is nothing to import, and the operator should know why. */
  | { type: 'note'; version: number; reason: Reason };

/** What an import does with a user. */
export interface Decision {
  actions: Action[];
  /** Versions up to this one are not given out any more. */
  lastVersion: number;
  /** Versions that are not here, and must not look deleted: a later import may create them. In ascending order. */
  reserved: number[];
}

const NOBODY: StoredUser = {
  lastVersion: 0,
  currentVersion: undefined,
  reserved: [],
  wasImported: false,
  backups: [],
};

export function decide(
  source: SourceVersions,
  stored: StoredUser = NOBODY,
  options: Pick<RoomKeysImportOptions, 'changedOnly' | 'followDeletions' | 'again' | 'userId'> = {},
): Decision {
  if (options.again) stored = asNeverDeleted(source, stored);
  const newest = newestOf(source, stored);
  const actions =
    newest?.backup instanceof ValidationError
      ? skipUser(source, newest, newest.backup)
      : [
          ...stored.backups
            .filter(({ version }) => isMissing(version, source))
            .map((ours) => deletion(ours, options)),
          ...source.versions.flatMap(
            (version) => actionFor(version, source, stored, options) ?? [],
          ),
        ];
  actions.push(...leftOut(source, stored, options));
  return {
    actions,
    lastVersion: Math.max(stored.lastVersion, source.lastVersion),
    reserved: reservedAfter(source, stored, actions),
  };
}

/** Whether a user is as the source has it, as far as can be said without reading keys. */
export const isUpToDate = (
  { actions, lastVersion, reserved }: Decision,
  stored: StoredUser = NOBODY,
): boolean =>
  actions.every(({ type }) => type === 'unchanged') &&
  lastVersion === stored.lastVersion &&
  isDeepStrictEqual(reserved, stored.reserved);

function actionFor(
  { version, deleted, backup }: SourceVersion,
  source: SourceVersions,
  stored: StoredUser,
  options: Pick<RoomKeysImportOptions, 'changedOnly' | 'followDeletions'>,
): Action | undefined {
  const ours = stored.backups.find((one) => one.version === version);
  if (deleted) {
    const isOther = ours && !(backup instanceof ValidationError) && !isSameBackup(backup, ours);
    return ours && !isOther ? deletion(ours, options) : undefined;
  }
  if (isVersion(version) && wasDeletedHere(version, stored)) {
    return note('deleted-here', version, 'The backup was deleted here, and stays deleted.');
  }
  if (backup instanceof ValidationError) {
    return { type: 'skip', version, reason: { code: backup.code, message: backup.message } };
  }
  if (ours) return mergeWith(ours, backup, options);
  if (hasOwnCurrent(source, stored) && backup.version > Number(stored.currentVersion)) {
    return skip(
      'would-replace-current',
      backup.version,
      `The user created backup ${stored.currentVersion} on this server, and this newer version would replace it as the current backup.`,
    );
  }
  return { type: 'create', version: backup.version, backup };
}

function mergeWith(
  ours: StoredBackup,
  backup: ValidBackup,
  { changedOnly }: Pick<RoomKeysImportOptions, 'changedOnly'>,
): Action {
  const { version } = backup;
  if (!isSameBackup(backup, ours)) {
    return skip('conflict', version, 'Another backup has this version here, and is kept.');
  }
  const { record } = ours;
  const sourceHash = hashOf(backup.authData);
  if (changedOnly && record?.sourceEtag === backup.etag && record.authDataHash === sourceHash) {
    return { type: 'unchanged', version };
  }
  // a source with an older state, for example an older file, is not followed
  const isNewer = record !== undefined && backup.etag >= record.sourceEtag;
  const takesAuthData = isNewer && hasImportedAuthData(ours) && record.authDataHash !== sourceHash;
  return { type: 'merge', version, backup, stored: ours, takesAuthData };
}

/** Of a backup that the source has deleted. */
function deletion(
  ours: StoredBackup,
  { followDeletions }: Pick<RoomKeysImportOptions, 'followDeletions'>,
): Action {
  const { version } = ours;
  if (!isAsImported(ours)) {
    return note(
      'deleted-in-source',
      version,
      'The backup was deleted in the source, but was changed here, and is kept.',
    );
  }
  if (followDeletions) return { type: 'delete', version, stored: ours };
  return note('deleted-in-source', version, 'The backup was deleted in the source, and is kept.');
}

/** Nothing of the user: to the user's devices an older backup as the current one would look as if the newest were deleted. */
function skipUser(
  { versions }: SourceVersions,
  { version: newest }: SourceVersion,
  { code, message }: ValidationError,
): Action[] {
  const reason: Reason = {
    code: code === 'backup' ? 'newest-backup' : code,
    message: `${message} This is the newest backup, so nothing of the user was imported.`,
  };
  return versions
    .filter(({ deleted }) => !deleted)
    .map(({ version }) => ({ type: 'skip', version, ...(version === newest ? { reason } : {}) }));
}

/**
 * Where nothing of a user is here or comes here, though the source has something: what became of the user is said once
 * more. Of one who deleted a backup that was imported, that is a decision, unless the import is about this user.
 */
function leftOut(
  { versions }: SourceVersions,
  stored: StoredUser,
  { userId }: Pick<RoomKeysImportOptions, 'userId'>,
): Action[] {
  const all = versions.filter(({ deleted }) => !deleted).map(({ version }) => version);
  const newest = Math.max(...all.filter(isVersion));
  const isWhole = all.every((version) => isVersion(version) && wasDeletedHere(version, stored));
  const isAsked = userId !== undefined || !stored.wasImported;
  if (all.length === 0 || !isWhole || stored.backups.length > 0 || !isAsked) return [];
  return [
    note(
      'left-out',
      newest,
      'Nothing of the user was imported: the user was erased here, or deleted every backup here. To import the user again, import this user alone with --again.',
    ),
  ];
}

/** As if the versions of the source had never been here, those apart that are. */
const asNeverDeleted = ({ versions }: SourceVersions, stored: StoredUser): StoredUser => ({
  ...stored,
  reserved: [
    ...stored.reserved,
    ...versions.map(({ version }) => version).filter(isVersion),
  ].filter((version) => version <= stored.lastVersion && !isStored(version, stored)),
});

function reservedAfter(
  source: SourceVersions,
  stored: StoredUser,
  actions: readonly Action[],
): number[] {
  const isCreated = (version: number) =>
    actions.some((action) => action.type === 'create' && action.version === version);
  const isListed = (version: number) => source.versions.some((one) => one.version === version);
  const all = [
    ...source.versions.filter(({ deleted }) => !deleted).map(({ version }) => version),
    ...(source.reserved ?? []),
    ...stored.reserved.filter((version) => !isListed(version) && !isMissing(version, source)),
  ].filter(isVersion);
  return [...new Set(all)]
    .filter(
      (version) =>
        !isCreated(version) && !isStored(version, stored) && !wasDeletedHere(version, stored),
    )
    .sort((one, other) => one - other);
}

const skip = (code: Reason['code'], version: unknown, message: string): Action => ({
  type: 'skip',
  version,
  reason: { code, message },
});

const note = (code: Reason['code'], version: number, message: string): Action => ({
  type: 'note',
  version,
  reason: { code, message },
});
