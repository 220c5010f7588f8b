import fc from 'fast-check';
import { type TestApplication, startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { OTHER_ALGORITHM } from './model.js';
import { regressions } from './model.regressions.js';
import { Difference, newTally, runSequence } from './model.run.js';
import { type Sequence, sequences } from './model.sequences.js';
import { Wire } from './wire.js';

interface Extent {
  seed: number;
  /** How many sequences are tried on each database, unless the time is over before. */
  sequences: number;
  /** The most steps that a sequence has. */
  longest: number;
  minutes: number;
  /** Receives the result for one database. */
  report?: (text: string) => void;
}

/** Holds the server against the model, over HTTP, on each database. */
export function describeModel(extent: Extent): void {
  describe.each(databases)('the server and the model on $name', ({ name, create }) => {
    let database: TestDatabase;
    let application: TestApplication;
    let wire: Wire;

    beforeAll(async () => {
      database = await create();
      application = await startApplication(database, { allowedAlgorithms: [OTHER_ALGORITHM] });
      wire = new Wire(application.url);
    });
    afterAll(async () => {
      wire.close();
      await application.close();
      await database.drop();
    });

    it('agree on every sequence that one of them once got wrong', async () => {
      for (const { what, sequence } of regressions) {
        await runSequence(wire, sequence, newTally()).catch((error: unknown) => {
          throw new Error(`${what}: ${(error as Error).message}`);
        });
      }
    });

    it('agree on every answer, and on all that is stored after it', async () => {
      const tally = newTally();
      const result = await fc.check(
        fc.asyncProperty(sequences(extent.longest), (sequence) =>
          runSequence(wire, sequence, tally),
        ),
        {
          seed: extent.seed,
          numRuns: extent.sequences,
          interruptAfterTimeLimit: extent.minutes * 60_000,
        },
      );
      if (result.failed) throw new Error(failureOf(result));
      extent.report?.(
        `${name}: ${tally.sequences} sequences, ${tally.requests} requests, ${tally.refusals} of them refused, ${tally.reads} reads compared, differences: 0, seed ${result.seed}`,
      );
    });
  });
}

/** What differed, and what to write to see it again, and to keep it. */
function failureOf({ seed, counterexample, errorInstance }: fc.RunDetails<[Sequence]>): string {
  const [sequence] = counterexample ?? [];
  if (!sequence || !(errorInstance instanceof Difference)) return String(errorInstance);
  const shortest = { ...sequence, steps: errorInstance.steps };
  return [
    errorInstance.message,
    `To try it again: RELIABILITY_SEED=${seed}`,
    `To keep it, in test/reliability/model.regressions.ts: ${JSON.stringify(shortest)}`,
  ].join('\n');
}
