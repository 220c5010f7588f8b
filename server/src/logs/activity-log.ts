import { Logger } from '@nestjs/common';
import type { RoomKeysEvent } from 'nestjs-room-keys';

/** Tells of what the module does beside answering: transactions begun again, deleted keys removed. */
export class ActivityLog {
  private readonly conflicts = new Logger('Conflict');
  private readonly sweeps = new Logger('Sweep');

  observe(event: RoomKeysEvent): void {
    if (event.type === 'conflict') {
      const { code, attempt, gaveUp } = event;
      if (gaveUp) {
        const message = `A transaction gave way to others (${code}) too often, the client is told 503`;
        this.conflicts.warn(message, { code, attempt });
      } else {
        const message = `A transaction gave way to another (${code}), it is begun again`;
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
