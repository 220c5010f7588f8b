import type { SourceKey } from './backup-source.js';

// One JSON document per line, in this order: the header; for each user a line, then for each of the user's backups a
// line, its keys, and a line that ends it; at last the end of the file.

/** Is incremented when earlier versions could not read the file. */
export const FORMAT_VERSION = 1;

export interface HeaderLine {
  type: 'nestjs-room-keys';
  format: number;
}

export interface UserLine {
  type: 'user';
  user_id: string;
  /** The highest version that was ever given out: those up to it without a line are deleted, unless they are reserved. */
  last_version: number;
  /** Versions that were never imported and are not deleted. Left out where there are none. */
  reserved_versions?: number[];
  /** The same, in files of earlier versions. */
  withheld_versions?: number[];
}

export interface BackupLine {
  type: 'backup';
  version: number;
  algorithm: string;
  /** JSON text, character for character as the client sent it. */
  auth_data: string;
  etag: number;
  count: number;
  /** Milliseconds since 1970. */
  created_at: number;
  changed_at: number;
}

/** `session_data` is JSON text, character for character as the client sent it. */
export interface KeyLine extends SourceKey {
  type: 'key';
}

export interface BackupEndLine {
  type: 'backup_end';
  count: number;
  /** See {@link KeysChecksum}. */
  checksum: string;
}

export interface EndLine {
  type: 'end';
  users: number;
  backups: number;
  keys: number;
}

export type Line = HeaderLine | UserLine | BackupLine | KeyLine | BackupEndLine | EndLine;

/** See {@link UserLine.reserved_versions}. */
export const reservedVersions = ({ reserved_versions, withheld_versions }: UserLine): number[] =>
  reserved_versions ?? withheld_versions ?? [];
