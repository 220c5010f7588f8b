/**
 * Proves that reading the largest body takes memory and time by its length, whatever its characters: in a process that does
 * nothing else, with the bodies that once took half a gigabyte or seconds.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('body-reader.program.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const LENGTH = 15_000_000;
/** The body itself, as text, and as keys, of which a character can take three times its bytes. */
const MOST_MEMORY = 120_000_000;
/** Many times what it takes, and far less than anything that is not linear. */
const LONGEST_STALL_MS = 3000;

interface Reading {
  /** `read`, or the errcode. */
  outcome: string;
  /** Characters of session_data. */
  stored: number;
  longestStallMs: number;
  memoryOverIdle: number;
}

const keyWith = (sessionData: string) =>
  `{"first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":${sessionData}}`;
const bodyWith = (sessionData: string) =>
  `{"rooms":{"!r":{"sessions":{"s":${keyWith(sessionData)}}}}}`;
/** So often that the body has its length. */
const filled = (part: string) => part.repeat(Math.floor(LENGTH / Buffer.byteLength(part)));
const ofText = (part: string) => bodyWith(`{"x":"${filled(part)}"}`);
const ofMembers = (count: number, member: (n: number) => string) =>
  Array.from({ length: count }, (_, n) => member(n)).join();

const BODIES: [what: string, outcome: string, body: () => string][] = [
  ['single quotes', 'read', () => ofText("'")],
  ['escaped backslashes', 'read', () => ofText('\\\\')],
  ['escaped quotes', 'read', () => ofText('\\"')],
  ['plain letters', 'read', () => ofText('x')],
  ['letters with accents', 'read', () => ofText('é')],
  ['letters with accents between plain ones', 'read', () => ofText('éx')],
  ['letters beyond Latin', 'read', () => ofText('Ā')],
  ['ideographs', 'read', () => ofText('中')],
  ['emoji', 'read', () => ofText('🔑')],
  ['plain letters and one emoji', 'read', () => bodyWith(`{"x":"${filled('x')}🔑"}`)],
  ['numbers', 'read', () => bodyWith(`{"x":[${'1,'.repeat(990_000)}1]}`.padEnd(LENGTH))],
  ['names', 'read', () => bodyWith(`{${ofMembers(900_000, (n) => `"k${n}":1`)}}`)],
  [
    'objects of different names',
    'read',
    () => bodyWith(`{"x":[${ofMembers(490_000, (n) => `{"key${n}":1}`)}]}`),
  ],
  [
    'deep brackets',
    'read',
    () => bodyWith(`{"x":[${ofMembers(1000, () => '['.repeat(900) + ']'.repeat(900))}]}`),
  ],
  ['spaces', 'read', () => bodyWith(`{"x":${filled(' ')}1}`)],
  ['digits', 'read', () => bodyWith(`{"x":${filled('1')}}`)],
  ['brackets that are not closed', 'M_BAD_JSON', () => filled('[')],
  ['commas', 'M_NOT_JSON', () => bodyWith(`[${filled(',')}]`)],
  ['too many values', 'M_TOO_LARGE', () => bodyWith(`[${filled('[],')}1]`)],
  ['too many keys', 'M_TOO_LARGE', () => manySessions()],
  [
    'empty rooms',
    'M_TOO_LARGE',
    () => `{"rooms":{${ofMembers(330_000, (n) => `"!r${n}":{"sessions":{}}`)}}}`,
  ],
  ['unknown fields', 'M_TOO_LARGE', () => `{${ofMembers(900_000, (n) => `"u${n}":1`)}}`],
];

const manySessions = () =>
  `{"rooms":{"!r":{"sessions":{${ofMembers(150_000, (n) => `"${n}":${keyWith('{}')}`)}}}}}`;

describe('a body of 15 MB', () => {
  let child: ChildProcess;
  let url: string;

  // a process each: what one body leaves behind would be the room of the next
  beforeEach(async () => {
    const flags = ['--expose-gc', '--max-semi-space-size=4', '--heap-growing-percent=40'];
    child = fork(PROGRAM, { cwd: ROOT, execArgv: ['--import', 'tsx', ...flags] });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    url = `http://127.0.0.1:${port}`;
    for (let n = 0; n < 20; n++) await read(bodyWith('{"x":"é"}'));
    await fetch(`${url}/reset`);
  });
  afterEach(() => child.kill());

  async function read(body: string): Promise<Reading> {
    const response = await fetch(url, { method: 'PUT', body });
    return (await response.json()) as Reading;
  }

  it.each(BODIES)(
    'of %s is read, or refused, in little memory and time',
    async (_, outcome, body) => {
      const reading = await read(body());
      expect(reading.outcome).toBe(outcome);
      expect(reading.memoryOverIdle).toBeLessThan(MOST_MEMORY);
      expect(reading.longestStallMs).toBeLessThan(LONGEST_STALL_MS);
    },
  );
});
