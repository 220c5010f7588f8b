/** Injection token of the module's options. */
export const ROOM_KEYS_OPTIONS = Symbol('ROOM_KEYS_OPTIONS');

/** Injection token of the host's DataSource inside this module. */
export const ROOM_KEYS_DATA_SOURCE = Symbol('ROOM_KEYS_DATA_SOURCE');
