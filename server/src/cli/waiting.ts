import type { RoomKeysStatistics } from 'nestjs-room-keys/operations';
import { counted } from './output.js';

/** What is not to be swept yet: what an import has stored that broke off, and what deletions keep. */
export function waitingRows({
  staged,
  kept,
}: Pick<RoomKeysStatistics, 'staged' | 'kept'>): [name: string, text: string][] {
  const rows: [string, string][] = [];
  if (staged.until) {
    rows.push([
      'Import',
      `${counted(staged.keys, 'key')} of an import that runs or broke off, not part of any backup yet: removed after ${staged.until.toISOString()}, or by sweep --now`,
    ]);
  }
  if (kept.lastUntil) {
    rows.push([
      'Kept',
      `${counted(kept.deletions, 'deletion')} with ${counted(kept.keys, 'key')} that user restore can undo, the last until ${kept.lastUntil.toISOString()}`,
    ]);
  }
  return rows;
}
