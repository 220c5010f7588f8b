import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { userInfo } from 'node:os';

/**
 * What keeps this user from a SQLite file: which of its files, or its folder, and whose it is. A
 * command that was run as root leaves files that the service cannot open.
 */
export function sqliteFailure(code: string, file: string | undefined): string {
  if (file === undefined)
    return 'The SQLite file in DATABASE_URL cannot be opened. Set one in a folder that this user may write to.';
  const path = resolve(file);
  const belongings = [path, `${path}-wal`, `${path}-shm`, dirname(path)];
  const refused = belongings.find((candidate) => isRefused(candidate));
  if (refused === undefined)
    return `The SQLite file ${path} cannot be opened (${code}). Check the path in DATABASE_URL, and that its file system is writable.`;
  const { uid, mode } = statSync(refused);
  const own = process.getuid?.();
  const owner = nameOf(uid);
  const permissions = `mode ${(mode & 0o777).toString(8).padStart(4, '0')}`;
  return uid === own
    ? `${refused} is not writable by its owner ${owner} (${permissions}). Run 'chmod u+rw ${refused}'.`
    : `${refused} belongs to ${owner} (${permissions}), and this process runs as ${ownName()}, which may not write to it. Run 'chown ${ownName()} ${refused}'${refused === path ? ', and the same for its -wal and -shm' : ''}, and run commands as ${ownName()}.`;
}

function isRefused(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Node has no function for the names of other users. */
function nameOf(uid: number): string {
  try {
    const users = readFileSync('/etc/passwd', 'utf8').split('\n');
    const [name] =
      users.map((line) => line.split(':')).find(([, , id]) => id === String(uid)) ?? [];
    return name ?? `user ${uid}`;
  } catch {
    return `user ${uid}`;
  }
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}
