import type { DataSource } from 'typeorm';
import { retentionOf } from '../room-keys/retention.js';
import type { RoomKeysOptions } from '../room-keys/room-keys-options.interface.js';
import { ExportRepository } from '../room-keys/storage/export.repository.js';
import { BackupImporter } from './transfer/backup-importer.js';
import type { BackupSource } from './transfer/backup-source.js';
import { type HomeserverKind, HomeserverSource } from './transfer/homeserver.source.js';
import { exportedLines } from './transfer/jsonl.export.js';
import { JsonlSource } from './transfer/jsonl.source.js';
import type {
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransferProgress,
} from './transfer/transfer.js';

/**
 * Moves backups in and out, while servers are running. All it needs is a DataSource whose `migrations` have run:
 * `new RoomKeysTransfer(dataSource)`.
 *
 * An import goes through users one after the other. It creates backups that do not exist here, with their version
 * ids, etags, `auth_data` and `session_data` unchanged, and merges keys into those that do: it never removes a key,
 * and never replaces one by a worse one. `auth_data` is replaced unless it was changed here. Versions that were
 * deleted here stay deleted. An import can be aborted and run again; a second one changes nothing.
 *
 * @publicApi
 */
export class RoomKeysTransfer {
  private readonly historyDays: number;

  /**
   * @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3'
   * @param options those of the module: what is written to the history
   */
  constructor(
    private readonly dataSource: DataSource,
    { historyDays }: Pick<RoomKeysOptions, 'historyDays'> = {},
  ) {
    this.historyDays = retentionOf({ historyDays }).historyDays;
  }

  /**
   * Imports from the database of a homeserver, which is only read and may be running.
   *
   * @param from `postgres://user@host/database`, or the path of a SQLite file
   * @throws RoomKeysSourceError where the source cannot be read; what was imported before stays
   */
  async importHomeserver(
    kind: HomeserverKind,
    from: string,
    options: RoomKeysImportOptions = {},
  ): Promise<RoomKeysImportResult> {
    return this.importFrom(await HomeserverSource.open(kind, from), options);
  }

  /**
   * Imports a file of {@link exportJsonl}. It is read once as a whole before anything is written.
   *
   * @throws RoomKeysSourceError where the file is not complete, or a checksum does not match
   */
  async importJsonl(
    file: string,
    options: RoomKeysImportOptions = {},
  ): Promise<RoomKeysImportResult> {
    return this.importFrom(await JsonlSource.open(file), options);
  }

  /**
   * Yields the text of a file with the backups of one user or of all, some lines at a time. Each user is read in a
   * consistent snapshot.
   */
  exportJsonl({
    userId,
    onProgress,
  }: {
    userId?: string | undefined;
    onProgress?: ((progress: RoomKeysTransferProgress) => void) | undefined;
  } = {}): AsyncIterable<string> {
    const storage = new ExportRepository(this.dataSource);
    return exportedLines(storage, userId, onProgress ?? (() => undefined));
  }

  private async importFrom(
    source: BackupSource,
    options: RoomKeysImportOptions,
  ): Promise<RoomKeysImportResult> {
    try {
      return await new BackupImporter(this.dataSource, source, options, this.historyDays).run();
    } finally {
      await source.close();
    }
  }
}
