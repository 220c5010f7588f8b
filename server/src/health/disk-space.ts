import type { RoomKeysEvent } from 'nestjs-room-keys';

/** Clients send a refused upload again within 16 seconds: after so long without a failure there is room. */
const FORGOTTEN_AFTER_MS = 60_000;

/** Whether the database has room, by what requests meet: an upload that is stored says so, one that fails says not. */
export class DiskSpace {
  private fullSince: number | undefined;

  observe(event: RoomKeysEvent): void {
    if (event.type === 'request' && event.databaseFailure === 'disk-full')
      this.fullSince = performance.now();
    if (event.type === 'keys' && event.added > 0) this.fullSince = undefined;
  }

  get isFull(): boolean {
    return this.fullSince !== undefined && performance.now() - this.fullSince < FORGOTTEN_AFTER_MS;
  }
}
