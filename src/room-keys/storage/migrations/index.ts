import { CreateRoomKeys1764000000000 } from './1764000000000-create-room-keys.js';

/**
 * The migrations of this module, oldest first, for `migrations` in the options of the host's
 * DataSource: `migrations: [...yourOwn, ...roomKeysMigrations]`. Each speaks the SQL of the
 * DataSource that runs it, and keeps to its `entityPrefix`.
 *
 * @publicApi
 */
export const roomKeysMigrations = [CreateRoomKeys1764000000000];
