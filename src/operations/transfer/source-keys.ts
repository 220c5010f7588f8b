import { isBetter } from '../../room-keys/replacement.js';
import type { KeyOfDevice } from '../../room-keys/storage/rows.js';
import type { OpenSourceUser, SourceKey } from './backup-source.js';
import type { ImportReport } from './import-report.js';
import { type Fits, shownId, type ValidBackup, validateKey, ValidationError } from './validate.js';

/** The keys of a source's backup that can be stored, page by page; the others are reported. */
export async function* sourceKeys(
  { user: { userId }, count, keys }: Pick<OpenSourceUser, 'user' | 'count' | 'keys'>,
  { version, source }: ValidBackup,
  fits: Fits,
  report: ImportReport,
): AsyncGenerator<KeyOfDevice[]> {
  const skipped = (message: string, { room_id, session_id }: SourceKey) => {
    const place = { roomId: shownId(room_id), sessionId: shownId(session_id) };
    report.keySkipped({ code: 'key', message, userId, version: String(version), ...place });
  };
  let read = 0;
  for await (const page of keys(source)) {
    const valid: KeyOfDevice[] = [];
    for (const one of page) {
      const key = await validateKey(one, fits);
      if (key instanceof ValidationError) {
        skipped(key.message, one);
        continue;
      }
      const before = valid.at(-1);
      if (before?.roomId !== key.roomId || before.sessionId !== key.sessionId) {
        valid.push(key);
        continue;
      }
      // a broken unique index lets it in; in the order of the ids both come one after the other
      if (isBetter(key, before)) valid[valid.length - 1] = key;
      skipped('The source has the key more than once: the better one was imported.', one);
    }
    read += page.length;
    report.keysRead(page.length);
    yield valid;
  }
  const counted = await count(source);
  if (read === counted) return;
  report.issue({
    code: 'key-count',
    message: `The source counts ${counted} keys, and returned ${read}.`,
    userId,
    version: String(version),
  });
}
