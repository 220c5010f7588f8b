import fc from 'fast-check';
import { build } from '../../server/test/operating/server-process.js';
import { type DatabaseUnderTest, databases, type TestDatabase } from '../support/databases.js';
import { type Input, inputs } from './fuzz.inputs.js';
import { regressions } from './fuzz.regressions.js';
import { asSource, FIRST, type FuzzTally, newFuzzTally, runInputs } from './fuzz.run.js';
import { FuzzedServer } from './fuzzed-server.js';
import type { KnownUser } from './known-users.js';

const MIB = 1024 * 1024;
/** What the process may take beyond what it has at first: bodies here are small. */
const MOST_MEMORY = 400 * MIB;
/** Inputs of one user: half as many, on average. */
const AT_MOST = 24;

interface Extent {
  seed: number;
  /** How many inputs are tried on each database, about, unless the time is over before. */
  inputs: number;
  minutes: number;
  on: readonly DatabaseUnderTest['name'][];
  /** Receives the result for one database. */
  report?: (text: string) => void;
}

/** Hostile input for the built server, and what it must not do to it. */
export function describeFuzzing(extent: Extent): void {
  const chosen = databases.filter(({ name }) => extent.on.includes(name));
  describe.each(chosen)('hostile input on $name', ({ name, create }) => {
    let database: TestDatabase;
    let server: FuzzedServer;
    let witness: KnownUser;
    let ofWitness: string[];

    beforeAll(async () => {
      await build();
      database = await create();
      server = await FuzzedServer.start(database);
      witness = server.users.newUser();
      for (const [method, path, body] of FIRST) {
        expect((await server.call(witness, method, `/${path}`, body)).status).toBe(200);
      }
      ofWitness = await server.stateOf(witness, 3);
    });
    afterAll(async () => {
      await server.stop();
      await database.drop();
    });

    const attack = async (sent: Input[], tally: FuzzTally) => {
      await runInputs(server, sent, tally);
      expect(await server.stateOf(witness, 3)).toEqual(ofWitness);
      expect(server.complaints).toEqual([]);
    };

    it('is answered as it should be where it once was not', async () => {
      for (const { what, inputs: sent } of regressions) {
        await attack(sent, newFuzzTally()).catch((error: unknown) => {
          throw new Error(`${what}: ${(error as Error).message}`);
        });
      }
    });

    it('is refused, changes nothing by it, and brings nothing down', async () => {
      const tally = newFuzzTally();
      const atStart = server.memory.now;
      const result = await fc.check(
        fc.asyncProperty(inputs(AT_MOST), (sent) => attack(sent, tally)),
        {
          seed: extent.seed,
          numRuns: Math.ceil((2 * extent.inputs) / AT_MOST),
          interruptAfterTimeLimit: extent.minutes * 60_000,
        },
      );
      if (result.failed) throw new Error(failureOf(result));
      const { peak } = server.memory;
      expect(peak).toBeLessThan(atStart + MOST_MEMORY);
      expect((await server.wire.send('GET', '/health/ready')).status).toBe(200);
      extent.report?.(
        `${name}: ${tally.inputs} inputs, answered ${answersOf(tally)}, 5xx: 0, crashes: 0, ` +
          `${tally.reads} reads compared, memory ${mib(atStart)} MiB at start, ${mib(peak)} MiB at most, seed ${result.seed}`,
      );
    });
  });
}

const mib = (bytes: number) => Math.round(bytes / MIB);

const answersOf = ({ answers }: FuzzTally) =>
  [...answers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([status, count]) => `${status}: ${count}`)
    .join(', ');

/** What was wrong, and what to write to see it again, and to keep it. */
function failureOf({
  seed,
  counterexample,
  counterexamplePath,
  errorInstance,
}: fc.RunDetails<[Input[]]>): string {
  const message = String(errorInstance);
  return [
    message,
    `To try it again: RELIABILITY_SEED=${seed} (path ${counterexamplePath})`,
    `To keep it, in test/reliability/fuzz.regressions.ts: ${asSource(counterexample?.[0])}`,
  ].join('\n');
}
