import type { SourceBackup, SourceUser } from './backup-source.js';
import type { SourceVersion, SourceVersions } from './decide.js';
import { validateBackup, ValidationError } from './validate.js';

/** @param fits whether the database can store a JSON text */
export async function validateUser(
  { backups, lastVersion, reserved, othersAreDeleted }: SourceUser,
  fits: (json: string) => Promise<boolean>,
): Promise<SourceVersions> {
  const versions: SourceVersion[] = [];
  for (const version of new Set(backups.map((one) => one.version))) {
    const same = backups.filter((one) => one.version === version);
    const [first] = same;
    if (!first) continue;
    // a broken unique index lets it in twice, and the keys of both name the same version
    const backup =
      same.length > 1
        ? new ValidationError('The source has the version more than once.')
        : await validate(first, fits);
    versions.push({ version, deleted: same.every(({ deleted }) => deleted), backup });
  }
  return { versions, lastVersion, reserved, othersAreDeleted };
}

async function validate(
  source: SourceBackup,
  fits: (json: string) => Promise<boolean>,
): Promise<SourceVersion['backup']> {
  const backup = validateBackup(source);
  if (backup instanceof ValidationError || (await fits(backup.authData))) return backup;
  return new ValidationError('auth_data is larger than the database can store.');
}
