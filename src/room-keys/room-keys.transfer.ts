import type { DataSource } from 'typeorm';
import { type HomeserverKind, HomeserverSource } from './storage/homeserver.source.js';
import { ImportRepository } from './storage/import.repository.js';
import { BackupImporter, type ImportOptions } from './transfer/backup-importer.js';
import { exportedLines } from './transfer/jsonl.export.js';
import { JsonlSource } from './transfer/jsonl.source.js';
import type {
  BackupSource,
  RoomKeysImportResult,
  RoomKeysTransferProgress,
} from './transfer/transfer.js';

/**
 * Moves backups in and out, beside servers that are in use. It needs nothing but a DataSource whose
 * `migrations` were run: `new RoomKeysTransfer(dataSource)`.
 *
 * An import takes one user after the other. It keeps version ids, etags, `auth_data` and `session_data`
 * as they stand, and which versions are deleted. What it can be broken off in it can also repeat: a second
 * import changes nothing. A backup that nobody has changed here follows its source, deletions included;
 * one that was changed here keeps what it has, and takes the keys that are missing or better.
 *
 * @publicApi
 */
export class RoomKeysTransfer {
  /** @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3' */
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Imports from the database of a homeserver, which is only read, and may go on running.
   *
   * @param from `postgres://user@host/database`, or the path of a SQLite file
   * @throws RoomKeysSourceError where the source cannot be read, or no more; what was taken stays
   */
  async importHomeserver(
    kind: HomeserverKind,
    from: string,
    options: ImportOptions = {},
  ): Promise<RoomKeysImportResult> {
    return this.importFrom(await HomeserverSource.open(kind, from), options);
  }

  /**
   * Imports a file of {@link exportJsonl}. It is read through once before anything is written.
   *
   * @throws RoomKeysSourceError where the file is not complete, or its checksums are not right
   */
  async importJsonl(file: string, options: ImportOptions = {}): Promise<RoomKeysImportResult> {
    return this.importFrom(await JsonlSource.open(file), options);
  }

  /**
   * Yields the text of a file with the backups of one user or of all, some lines at a time. Each user
   * is read as of one moment.
   */
  exportJsonl({
    userId,
    onProgress,
  }: {
    userId?: string | undefined;
    onProgress?: ((progress: RoomKeysTransferProgress) => void) | undefined;
  } = {}): AsyncIterable<string> {
    const storage = new ImportRepository(this.dataSource);
    return exportedLines(storage, userId, onProgress ?? (() => undefined));
  }

  private async importFrom(
    source: BackupSource,
    options: ImportOptions,
  ): Promise<RoomKeysImportResult> {
    try {
      return await new BackupImporter(this.dataSource, source, options).run();
    } finally {
      await source.close();
    }
  }
}
