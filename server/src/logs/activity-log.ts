import { Logger } from '@nestjs/common';
import type { RoomKeysEvent } from 'nestjs-room-keys';
import type { RoomKeysBackupChange } from 'nestjs-room-keys/operations';

const CHANGES: Record<RoomKeysBackupChange, string> = {
  created: 'A backup was created',
  auth_data: 'The auth_data of a backup was changed',
  keys_deleted: 'Keys of a backup were deleted',
  deleted: 'A backup was deleted',
  restored: 'A backup was restored',
  imported: 'A backup was imported',
  erased: 'All backups of a user were erased',
};

/** Tells of what the module does beside answering: backups changed, transactions begun again, deleted keys removed. */
export class ActivityLog {
  private readonly conflicts = new Logger('Conflict');
  private readonly sweeps = new Logger('Sweep');
  private readonly backups = new Logger('Backup');

  observe(event: RoomKeysEvent): void {
    if (event.type === 'backup') {
      // the user is in the line of the request, if allowed
      const { what, version, count, etag } = event;
      this.backups.log(CHANGES[what], { what, version, count, etag });
    } else if (event.type === 'conflict') {
      const { code, attempt, gaveUp } = event;
      if (gaveUp) {
        const message = `A transaction was aborted too often (${code}), the client gets 503`;
        this.conflicts.warn(message, { code, attempt });
      } else {
        const message = `A transaction was aborted (${code}) and is retried`;
        this.conflicts.log(message, { code, attempt });
      }
    } else if (event.type === 'sweep' && event.failure === undefined) {
      const { rows, sets, durationMs, backlog } = event;
      const message = `Removed ${rows} rows of deleted keys`;
      const details = { rows, sets, durationMs: Math.round(durationMs), backlog };
      // a look a minute, which most often finds nothing
      if (rows > 0 || sets > 0) this.sweeps.log(message, details);
      else this.sweeps.debug(message, details);
    }
  }
}
