/** What changes leave beside themselves, and for how long. */
export interface Retention {
  /** For how many days a deletion can be undone; 0 for not at all. */
  keepDeletedDays: number;
  /** How many days the history of backups goes back; 0 for none. */
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
