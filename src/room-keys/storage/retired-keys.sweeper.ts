import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { RoomKeysRepository } from './room-keys.repository.js';

/** Rows per transaction: few enough that no other user notices the locks and the log it writes. */
const ROWS_PER_STEP = 500;
const SETS_PER_LOOK = 10;
const STOP_MS = 2000;

/**
 * Removes the rows of retired key sets, in small steps, one set after the other. It looks for work
 * when it starts, so that nothing stays behind after a crash, when something was retired in this
 * process, and every `intervalMs` for what other processes left.
 */
export class RetiredKeysSweeper implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('RoomKeysSweeper');
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;

  /** @param intervalMs milliseconds between two looks for work; 0 to sweep only when something is retired */
  constructor(
    private readonly repository: RoomKeysRepository,
    private readonly intervalMs: number,
  ) {}

  onApplicationBootstrap(): void {
    this.wake();
    if (this.intervalMs > 0)
      this.timer = setInterval(() => {
        this.wake();
      }, this.intervalMs).unref();
  }

  /** Stops after the step that is under way, and waits for it, not for long: one that breaks off does no harm. */
  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    this.stopping.abort();
    await Promise.race([this.running, sleep(STOP_MS, undefined, { ref: false })]);
  }

  /** Begins to sweep, unless it does already; returns at once. */
  wake(): void {
    if (this.stopping.signal.aborted) return;
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = this.sweep()
      .catch((error: unknown) => {
        // What is left is found again at the next look.
        this.logger.warn(`Sweeping broke off: ${(error as Error).message}`);
      })
      .finally(() => {
        this.running = undefined;
        if (this.again) {
          this.again = false;
          this.wake();
        }
      });
  }

  /** Sweeps all that is retired now. */
  async sweep(): Promise<void> {
    const { signal } = this.stopping;
    for (;;) {
      const sets = await this.repository.retiredKeySets(SETS_PER_LOOK);
      if (sets.length === 0) return;
      for (const set of sets) {
        while (!signal.aborted && (await this.repository.sweepKeySet(set, ROWS_PER_STEP))) {
          // leaves the connection and the disk to others between two steps
          await sleep(1, undefined, { signal }).catch(() => undefined);
        }
        if (signal.aborted) return;
      }
    }
  }
}
