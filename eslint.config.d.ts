import type { Linter } from 'eslint';

export const rooms: Linter.Config[];
export const oneRoomForDatabases: Linter.Config;
