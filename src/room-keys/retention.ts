/** How long deleted data and the history of backups are kept. */
export interface Retention {
  /** Days for which a deletion can be undone; 0 to delete at once. */
  keepDeletedDays: number;
  /** Days for which the history of backups is kept; 0 for no history. */
  historyDays: number;
}

export const DAY_MS = 24 * 60 * 60 * 1000;

export const retentionOf = ({
  keepDeletedDays = 0,
  historyDays = 90,
}: { [Name in keyof Retention]?: number | undefined }): Retention => ({
  keepDeletedDays,
  historyDays,
});
