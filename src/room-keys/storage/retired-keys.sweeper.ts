import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { redactedError } from '../storage.errors.js';
import type { RoomKeysSweepEvent } from '../room-keys.events.js';
import { type RetiredKeysRepository, ROWS_PER_STEP } from './retired-keys.repository.js';

const STOP_MS = 2000;

/**
 * Removes the rows of retired key sets and rooms, in small steps, one after the other. It looks for work
 * when it starts, so that nothing stays behind after a crash, when something was retired in this
 * process, and every `intervalMs` for what other processes left.
 */
export class RetiredKeysSweeper implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('RoomKeysSweeper');
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;

  /**
   * @param intervalMs milliseconds between two looks for work; 0 to sweep only when something is retired
   * @param observe called with each sweep; it must not throw
   * @param trim removes up to so many entries of the history that are too old, and returns whether there may be more
   */
  constructor(
    private readonly repository: RetiredKeysRepository,
    private readonly intervalMs: number,
    private readonly observe?: (event: RoomKeysSweepEvent) => void,
    private readonly trim?: (limit: number) => Promise<boolean>,
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
        this.logger.warn(`A sweep failed: ${redactedError(error, 'message')}`);
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
  private async sweep(): Promise<void> {
    const done = { rows: 0, sets: 0, rooms: 0 };
    if (!this.observe) return this.sweepAll(done);
    const begun = performance.now();
    let failure: string | undefined;
    try {
      await this.sweepAll(done);
    } catch (error) {
      failure = codeOf(error);
      throw error;
    } finally {
      const durationMs = performance.now() - begun;
      this.observe({ type: 'sweep', ...done, durationMs, ...(await this.left()), failure });
    }
  }

  private async sweepAll(done: { rows: number; sets: number; rooms: number }): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted && (await this.trim?.(ROWS_PER_STEP)));
    if (signal.aborted) return;
    for await (const { rows, completed } of this.repository.removeAll()) {
      done.rows += rows;
      if (completed === 'key set') done.sets += 1;
      else if (completed === 'room') done.rooms += 1;
      // leaves the connection and the disk to others between two steps
      else await sleep(1, undefined, { signal }).catch(() => undefined);
      if (this.stopping.signal.aborted) return;
    }
  }

  private async left(): Promise<Pick<RoomKeysSweepEvent, 'backlog' | 'oldestMs' | 'kept'>> {
    try {
      const { keySets, rooms, oldestMs, kept } = await this.repository.backlog();
      const { count: deletions, keys } = kept;
      return { backlog: keySets + rooms, oldestMs, kept: { deletions, keys } };
    } catch {
      return { backlog: undefined, oldestMs: undefined, kept: undefined };
    }
  }
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : 'UNKNOWN';
}
