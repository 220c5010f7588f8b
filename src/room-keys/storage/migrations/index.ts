import { CreateRoomKeys1764000000000 } from './1764000000000-create-room-keys.js';
import { AddMirroredEtag1764000001000 } from './1764000001000-add-mirrored-etag.js';
import { AddRevision1764000002000 } from './1764000002000-add-revision.js';
import { AddWithheldVersions1764000003000 } from './1764000003000-add-withheld-versions.js';
import { RetireRooms1764000004000 } from './1764000004000-retire-rooms.js';
import { SeparateImports1764000005000 } from './1764000005000-separate-imports.js';
import { KeepDeletedAndHistory1764000006000 } from './1764000006000-keep-deleted-and-history.js';

/**
 * The migrations of this module, oldest first, for `migrations` in the options of the host's
 * DataSource: `migrations: [...yourOwn, ...roomKeysMigrations]`. Each speaks the SQL of the
 * DataSource that runs it, and keeps to its `entityPrefix`.
 *
 * @publicApi
 */
export const roomKeysMigrations = [
  CreateRoomKeys1764000000000,
  AddMirroredEtag1764000001000,
  AddRevision1764000002000,
  AddWithheldVersions1764000003000,
  RetireRooms1764000004000,
  SeparateImports1764000005000,
  KeepDeletedAndHistory1764000006000,
];
