import fc from 'fast-check';
import type { KeySelection, RoomKey } from '../../src/index.js';

/** What one may do with the backups of a user. */
export type Step =
  | { do: 'create' | 'sweep' | 'expire' | 'erase' }
  | { do: 'put'; keys: readonly DrawnKey[] }
  | { do: 'delete backup'; of: number }
  | { do: 'delete keys'; of: number; selection: KeySelection }
  | { do: 'restore'; of: number; asCurrent: boolean };

interface DrawnKey {
  room: number;
  session: number;
  isVerified: boolean;
  firstMessageIndex: number;
}

const room = fc.integer({ min: 0, max: 2 });
const session = fc.integer({ min: 0, max: 3 });
const of = fc.nat();
const key = fc.record({
  room,
  session,
  isVerified: fc.boolean(),
  firstMessageIndex: fc.integer({ min: 0, max: 2 }),
});
const roomId = (n: number) => `!room${n}:hs1`;
const sessionId = (n: number) => `session${n}`;
const selection = fc.oneof(
  fc.constant<KeySelection>({}),
  room.map((n): KeySelection => ({ roomId: roomId(n) })),
  fc
    .tuple(room, session)
    .map(([n, m]): KeySelection => ({ roomId: roomId(n), sessionId: sessionId(m) })),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'create' }) },
  {
    weight: 8,
    arbitrary: fc
      .array(key, { minLength: 1, maxLength: 8 })
      .map((keys): Step => ({ do: 'put', keys })),
  },
  { weight: 3, arbitrary: of.map((n): Step => ({ do: 'delete backup', of: n })) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(of, selection)
      .map(([n, what]): Step => ({ do: 'delete keys', of: n, selection: what })),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(of, fc.boolean())
      .map(([n, asCurrent]): Step => ({ do: 'restore', of: n, asCurrent })),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'sweep' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'expire' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'erase' }) },
);

/** It begins with what gives the rest something to work on. */
export const steps: fc.Arbitrary<readonly Step[]> = fc
  .array(step, { minLength: 5, maxLength: 25, size: 'max' })
  .map((some) => [{ do: 'create' }, ...some]);

/** Of the copies of a key: the rank, and which of equal ones it may be. */
interface ModelKey {
  isVerified: boolean;
  firstMessageIndex: number;
  data: ReadonlySet<string>;
}

/** By room id and session id. */
type Keys = Map<string, ModelKey>;

interface Kept {
  kind: 'backup' | 'keys' | 'room' | 'key';
  version: string;
  keys: Keys;
}

const idOf = (key: { roomId: string; sessionId: string }) => `${key.roomId} ${key.sessionId}`;

const isBetter = (one: ModelKey, other: ModelKey) =>
  one.isVerified === other.isVerified
    ? one.firstMessageIndex < other.firstMessageIndex
    : one.isVerified;

const isWorse = (one: ModelKey, other: ModelKey) => isBetter(other, one);

/** The backups of a user, and what of them can be restored, as plain as can be. */
export class UndoModel {
  last = 0;
  readonly backups = new Map<string, Keys>();
  private kept: Kept[] = [];
  private drawn = 0;

  get current(): string | undefined {
    const versions = [...this.backups.keys()].map(Number);
    return versions.length === 0 ? undefined : String(Math.max(...versions));
  }

  /** As `kind version count`. */
  get deletions(): string[] {
    return this.kept.map(({ kind, version, keys }) => `${kind} ${version} ${keys.size}`);
  }

  /** One of the backups that are not deleted. */
  any(of: number): string | undefined {
    const versions = [...this.backups.keys()];
    return versions[of % versions.length];
  }

  everGiven(of: number): string | undefined {
    return this.last === 0 ? undefined : String(1 + (of % this.last));
  }

  create(): string {
    this.last += 1;
    this.backups.set(String(this.last), new Map());
    return String(this.last);
  }

  /** @returns what is to be uploaded */
  put(drawn: readonly DrawnKey[]): RoomKey[] {
    const backup = this.backups.get(this.current ?? '');
    const uploaded = new Map<string, RoomKey>();
    for (const one of drawn) {
      const ids = { roomId: roomId(one.room), sessionId: sessionId(one.session) };
      if (uploaded.has(idOf(ids))) continue;
      const sessionData = `{"n":${this.drawn++}}`;
      const { isVerified, firstMessageIndex } = one;
      uploaded.set(idOf(ids), {
        ...ids,
        isVerified,
        firstMessageIndex,
        forwardedCount: 0,
        sessionData,
      });
      const key = { isVerified, firstMessageIndex, data: new Set([sessionData]) };
      const stored = backup?.get(idOf(ids));
      if (!stored || isBetter(key, stored)) backup?.set(idOf(ids), key);
    }
    return [...uploaded.values()];
  }

  deleteBackup(version: string): void {
    this.kept.push({ kind: 'backup', version, keys: this.backups.get(version)! });
    this.backups.delete(version);
  }

  /** @returns how many */
  deleteKeys(version: string, { roomId: inRoom, sessionId: one }: KeySelection): number {
    const backup = this.backups.get(version)!;
    const prefix =
      inRoom === undefined ? '' : one === undefined ? `${inRoom} ` : `${inRoom} ${one}`;
    const deleted = [...backup].filter(([id]) => id.startsWith(prefix));
    if (deleted.length === 0) return 0;
    const kind = inRoom === undefined ? 'keys' : one === undefined ? 'room' : 'key';
    this.kept.push({ kind, version, keys: new Map(deleted) });
    for (const [id] of deleted) backup.delete(id);
    return deleted.length;
  }

  /** @returns undefined where there is nothing to restore */
  restore(version: string, asCurrent: boolean): { version: string; deletions: number } | undefined {
    const isThere = this.backups.has(version);
    const at = this.kept.findLastIndex((one) => one.kind === 'backup' && one.version === version);
    if (!isThere && at === -1) return undefined;
    let deletions = 0;
    if (!isThere) {
      const [kept] = this.kept.splice(at, 1);
      this.backups.set(version, kept!.keys);
      deletions += 1;
    }
    const moves = asCurrent && (!isThere || this.current !== version);
    const target = moves ? String((this.last += 1)) : version;
    if (moves) {
      this.backups.set(target, this.backups.get(version)!);
      this.backups.delete(version);
    }
    const backup = this.backups.get(target)!;
    const merged = this.kept.filter((one) => one.kind !== 'backup' && one.version === version);
    this.kept = this.kept.filter((one) => !merged.includes(one));
    this.mergeAll(backup, merged);
    deletions += merged.length;
    return moves || deletions > 0 ? { version: target, deletions } : undefined;
  }

  /** The best of all copies stays; of equal ones, one that is stored. */
  private mergeAll(backup: Keys, merged: readonly Kept[]): void {
    const best: Keys = new Map();
    for (const [id, key] of merged.flatMap(({ keys }) => [...keys])) {
      const other = best.get(id);
      if (!other || isBetter(key, other)) best.set(id, key);
      else if (!isWorse(key, other))
        best.set(id, { ...key, data: new Set([...key.data, ...other.data]) });
    }
    for (const [id, key] of best) {
      const stored = backup.get(id);
      if (!stored || isBetter(key, stored)) backup.set(id, key);
    }
  }

  expire(): void {
    this.kept = [];
  }

  erase(): void {
    this.kept = [];
    this.backups.clear();
  }

  /** Compares, and learns which of equal copies stayed. */
  check(version: string, found: readonly RoomKey[]): void {
    const backup = this.backups.get(version)!;
    expect(found.map(idOf).sort()).toEqual([...backup.keys()].sort());
    for (const key of found) {
      const { data, ...rank } = backup.get(idOf(key))!;
      expect(key).toMatchObject(rank);
      expect([...data]).toContain(key.sessionData);
      backup.set(idOf(key), { ...rank, data: new Set([key.sessionData]) });
    }
  }
}
