import type { Devices } from './devices.js';
import { NOTHING_YET, type UserState } from './history.js';
import { linearize } from './linearizability.js';

/** What is stored of each user, as far as the answers to their devices tell. */
export class KnownStates {
  private readonly states = new Map<string, UserState>();

  /** @param seed the seed of randomness, to reproduce a failure */
  constructor(private readonly seed: number) {}

  /** Reads all that a user has, and proves the history up to here; the devices begin another. */
  async prove(devices: Devices): Promise<void> {
    const before = this.of(devices);
    await devices.readAll(before);
    this.settle(devices);
    await devices.tidyUp(this.of(devices));
  }

  /** Proves the history up to here, as it is. */
  settle(devices: Devices): void {
    try {
      this.states.set(devices.user, linearize(this.of(devices), devices.history));
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\nTo try it again: RELIABILITY_SEED=${this.seed}`,
        { cause: error },
      );
    }
    devices.history = [];
  }

  /** What the tables should hold, in the words of stored-rows.ts. */
  get content(): { backups: string[]; keys: number } {
    const backups: string[] = [];
    let keys = 0;
    for (const [user, state] of this.states) {
      for (const [version, backup] of state.backups) {
        backups.push(`version ${version} of @${user}:hs1`);
        keys += backup.keys.size;
      }
    }
    return { backups: backups.sort(), keys };
  }

  private of({ user }: Devices): UserState {
    return this.states.get(user) ?? NOTHING_YET;
  }
}
