import { setTimeout } from 'node:timers/promises';
import { build } from '../../server/test/operating/server-process.js';
import { FloodedServer } from './flooded-server.js';
import { AT_ONCE, attack, batch, floods } from './floods.js';
import { ROOM_KEYS } from './paths.js';
import type { RawAnswer } from './raw-request.js';

const MIB = 1024 * 1024;
/** What the process may take for each byte of a body, as its documentation says. */
const MEMORY_PER_BYTE = 6;
/** What it takes beside: 120 MiB when it has started, and what waits to be collected. */
const MEMORY_BESIDE = 200 * MIB;

interface Extent {
  /** How often each flood comes. */
  waves: number;
  /** Receives the result of one flood. */
  report?: (text: string) => void;
}

const attackers = Array.from({ length: 20 }, (_, n) => `mallory${n}`);

/** Floods the built server. */
export function describeFloods({ waves, report }: Extent): void {
  describe('a flood of bodies', () => {
    let server: FloodedServer | undefined;
    beforeAll(() => build());
    afterEach(() => server?.remove());

    it.each(floods)('$what takes bounded memory, and locks no other user out', async (flood) => {
      const { wire, url } = (server = await FloodedServer.start(['alice', ...attackers]));
      const attacks = (async () => {
        const answers: RawAnswer[] = [];
        for (let wave = 0; wave < waves; wave++) {
          const sent = Array.from({ length: flood.connections }, (_, n) =>
            attack(url, attackers[n % attackers.length]!, flood),
          );
          answers.push(...(await Promise.all(sent)));
        }
        return answers;
      })();

      const batches: number[] = [];
      let answers: RawAnswer[] | undefined;
      while (!answers) {
        const text = JSON.stringify(batch(100, `alice${batches.length}-`));
        const path = `${ROOM_KEYS}/keys?version=1`;
        const { status } = await wire.send('PUT', path, { Authorization: 'Bearer alice' }, text);
        batches.push(status);
        answers = (await Promise.race([attacks, setTimeout(0)])) ?? undefined;
      }
      expect(new Set(batches)).toEqual(new Set([200]));

      for (const { status, headers, body } of answers) {
        expect([...flood.answers, 503]).toContain(status);
        expect(headers['access-control-allow-origin']).toBe('*');
        if (status !== 503) continue;
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
        expect(JSON.parse(body)).toMatchObject({ errcode: 'M_UNKNOWN' });
      }
      const read = answers.filter(({ status }) => flood.answers.includes(status)).length;
      expect(read).toBeGreaterThan(0);
      const { peakMemory } = server;
      report?.(
        `bodies ${flood.what}: ${answers.length} sent, ${read} read, ${answers.length - read} told to come back, ` +
          `${batches.length} batches of another user stored meanwhile, at most ${Math.round(peakMemory / MIB)} MiB of memory`,
      );
      expect(peakMemory).toBeLessThan(
        MEMORY_PER_BYTE * (flood.bytesInAll ?? AT_ONCE) + MEMORY_BESIDE,
      );
      // all is given back: bodies of the largest size are taken again
      expect((await attack(url, 'mallory0', floods[0]!)).status).toBe(200);
    });
  });
}
