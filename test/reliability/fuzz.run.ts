import { setTimeout } from 'node:timers/promises';
import { bytesOf, type Input, withToken } from './fuzz.inputs.js';
import { cutAt, expectedOf, readingOf } from './fuzz.reading.js';
import type { FuzzedServer } from './fuzzed-server.js';
import type { KnownUser } from './known-users.js';
import { ALGORITHM, type Call, Model } from './model.js';
import { describe, faultOf } from './model.run.js';
import { type RawAnswer, RawConnection } from './raw-request.js';

/** What a run of inputs came to, for the figures. */
export interface FuzzTally {
  inputs: number;
  /** By status, and `none` for those that got no answer, since they were cut, or no HTTP. */
  answers: Map<string, number>;
  /** Reads by which all that is stored was compared. */
  reads: number;
}

export const newFuzzTally = (): FuzzTally => ({ inputs: 0, answers: new Map(), reads: 0 });

/** An answer that is later than this does not come. */
const HANGS_MS = 240_000;
/** How long the client waits for the answer to what may not be whole, before it sends no more. */
const PATIENCE_MS = 60;
const ERRCODES = new Set([
  ...['M_UNRECOGNIZED', 'M_NOT_JSON', 'M_BAD_JSON', 'M_MISSING_PARAM', 'M_INVALID_PARAM'],
  ...['M_TOO_LARGE', 'M_UNKNOWN', 'M_MISSING_TOKEN', 'M_UNKNOWN_TOKEN', 'M_NOT_FOUND'],
  'M_WRONG_ROOM_KEYS_VERSION',
]);

/** What no answer to an error may hold: SQL, stacks, codes of drivers, files. */
const LEAKS =
  /\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM) [^"]*room_keys_|room_keys_(?:users|backups|keys|rooms)|SQLITE_|\bER_[A-Z]|\bE[A-Z]{4,}:|\n? +at \S+ \(|node_modules|\/(?:src|dist)\/|TypeError|RangeError|syt_/;

/**
 * Sends inputs, each on a connection of its own. What is certain of an input is held against the model,
 * one after the other, as one user. Those of which more than one answer would do come from another
 * user, of whom nothing may have changed when they were refused.
 *
 * @throws Error where an answer, or what is stored after it, is not as it should be
 */
export async function runInputs(
  server: FuzzedServer,
  inputs: readonly Input[],
  tally: FuzzTally,
): Promise<void> {
  const certain = new CertainInputs(server, tally);
  const uncertain = new UncertainInputs(server, tally);
  const nameOf = (token: string) => server.users.nameOf(token);
  const kinds = inputs.map((input) => readingOf(withToken(input, certain.user.token), nameOf).kind);
  await Promise.all(
    [certain, uncertain].map((sender) =>
      sender.sendAll(
        inputs.filter((_, n) => (kinds[n] === 'uncertain') === (sender === uncertain)),
      ),
    ),
  );
}

/** Who sends hostile inputs; the state of whose backups is known. */
abstract class Sender {
  user: KnownUser;

  constructor(
    protected readonly server: FuzzedServer,
    private readonly tally: FuzzTally,
  ) {
    this.user = server.users.newUser();
  }

  async sendAll(inputs: readonly Input[]): Promise<void> {
    if (inputs.length === 0) return;
    await this.prepare();
    for (const input of inputs) {
      const concrete = withToken(input, this.user.token);
      try {
        await withinReason(this.send(concrete));
      } catch (error) {
        const { bytes } = bytesOf(concrete);
        const shown = asSource(bytes.toString('latin1'));
        throw new Error(`${(error as Error).message}\n  sent:     ${shown}`, { cause: error });
      }
      this.tally.inputs += 1;
    }
    await this.compare();
  }

  /** Gives the user backups. */
  protected abstract prepare(): Promise<void>;
  protected abstract send(input: Input): Promise<void>;
  /** Compares all that the user can read with what it should be. */
  protected abstract compare(): Promise<void>;

  protected count(status: number): void {
    const name = status === 0 ? 'none' : String(status);
    this.tally.answers.set(name, (this.tally.answers.get(name) ?? 0) + 1);
  }

  protected countReads(reads: number): void {
    this.tally.reads += reads;
  }

  /** Sends bytes that may be no whole request, and then no more. @returns all that came, as it came */
  protected async exchangeAnything(
    bytes: Buffer,
    pieces: number,
    cut?: Input['cut'],
  ): Promise<{ text: string; statuses: number[] }> {
    const connection = new RawConnection(this.server.url);
    if (cut) {
      await sendIn(connection, bytes.subarray(0, cutAt(bytes, cut.at)), pieces);
      if (cut.how === 'reset')
        await whenSent(connection).then(() => connection.socket.resetAndDestroy());
    } else {
      await sendIn(connection, bytes, pieces);
      await Promise.race([heard(connection), setTimeout(PATIENCE_MS)]);
    }
    connection.socket.end();
    await connection.closed;
    const text = connection.unread;
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
    this.count(statuses.find((status) => status !== 100) ?? 0);
    const fault = textFault(text, statuses);
    if (fault) throw new Error(`${fault}\n  answered: ${text}`);
    return { text, statuses };
  }
}

/** Sends what the model knows the answer to. */
class CertainInputs extends Sender {
  private readonly model = new Model();

  protected async prepare(): Promise<void> {
    for (const [method, path, body] of FIRST) await this.exchange(method, path, body);
  }

  protected async send(input: Input): Promise<void> {
    const reading = readingOf(input, (token) => this.server.users.nameOf(token));
    const { bytes } = bytesOf(input);
    if (reading.kind === 'uncertain') throw new Error('this input is for somebody else');
    if (reading.kind === 'cut') {
      await this.exchangeAnything(bytes, input.pieces, input.cut);
      return;
    }
    const times = input.method === 'GET' && input.http === 'HTTP/1.1' ? input.times : 1;
    const all = Buffer.concat(Array<Buffer>(times).fill(bytes));
    const connection = new RawConnection(this.server.url);
    try {
      // no answer is to end the sending before all of them are sent
      await sendIn(connection, all, times > 1 ? 1 : input.pieces);
      for (let n = 0; n < times; n++) {
        // what is no HTTP has no method either
        const method = reading.kind === 'no HTTP' ? undefined : input.method;
        const answer = await connection.answer(method);
        this.count(answer.status);
        const fault = this.faultOf(answer, reading, input);
        if (fault) throw new Error(fault);
        if (answer.headers.connection === 'close') break;
      }
    } finally {
      connection.close();
    }
  }

  private faultOf(
    answer: RawAnswer,
    reading: Exclude<ReturnType<typeof readingOf>, { kind: 'uncertain' | 'cut' }>,
    { method }: Input,
  ): string | undefined {
    const { status, headers, body: text } = answer;
    const told = `\n  answered: ${status} ${text}`;
    const leak = status >= 400 ? leakIn(text) : undefined;
    if (leak) return `${leak}${told}`;
    switch (reading.kind) {
      case 'preflight':
        return status === 204 ? undefined : `a preflight is not answered${told}`;
      case 'elsewhere':
        return status === 404 && (method === 'HEAD' || errcodeOf(text) === 'M_UNRECOGNIZED')
          ? undefined
          : `nobody's path is not told so${told}`;
      case 'no HTTP':
        return reading.statuses.includes(status) && ERRCODES.has(errcodeOf(text))
          ? undefined
          : `it is not refused as no HTTP${told}`;
      case 'call': {
        const expected = expectedOf(this.model, reading);
        if (method === 'HEAD') {
          const answers = 'anyOf' in expected ? expected.anyOf : [expected];
          const isThat = answers.some((one) => one.status === status) && text === '';
          return isThat ? undefined : `a HEAD is not answered as a GET without a body${told}`;
        }
        const fault = faultOf({ status, headers, text }, expected);
        return fault && `${fault}${told}\n  expected: ${describe(expected)}`;
      }
    }
  }

  protected async compare(): Promise<void> {
    const last = this.model.lastVersion(this.user.name) + 1;
    const versions = Array.from({ length: last }, (_, n) => n + 1);
    const paths = ['version', ...versions.flatMap((n) => [`version/${n}`, `keys?version=${n}`])];
    await Promise.all(paths.map((path) => this.exchange('GET', path)));
    this.countReads(paths.length);
  }

  /** What a client asks that behaves. */
  private async exchange(method: string, path: string, body?: string): Promise<void> {
    const [segments = '', query] = path.split('?');
    const call: Call = {
      user: this.user.name,
      method,
      path: segments.split('/'),
      versions: new URLSearchParams(query).getAll('version'),
      body,
    };
    const expected = this.model.answer(call);
    const answer = await this.server.call(this.user, method, `/${path}`, body);
    const fault = faultOf(answer, expected);
    if (fault) {
      throw new Error(
        `${fault}: ${method} ${path}\n  answered: ${answer.status} ${answer.text}\n  expected: ${describe(expected)}`,
      );
    }
  }
}

/** Sends what can be read in more than one way, or not at all. */
class UncertainInputs extends Sender {
  private state: string[] = [];
  /** Versions there may be. */
  private last = 3;

  protected async prepare(): Promise<void> {
    for (const [method, path, body] of FIRST) {
      await this.server.call(this.user, method, `/${path}`, body);
    }
    this.state = await this.server.stateOf(this.user, this.last);
  }

  protected async send(input: Input): Promise<void> {
    const { bytes } = bytesOf(input);
    const { text, statuses } = await this.exchangeAnything(bytes, input.pieces, input.cut);
    if (mustBeRefused(input) && statuses.some((status) => status >= 200 && status < 300)) {
      throw new Error(`its framing is wrong, and it was taken\n  answered: ${text}`);
    }
    const state = await this.server.stateOf(this.user, this.last);
    this.countReads(state.length);
    if (state.some((one) => one.startsWith('5')))
      throw new Error(`it cannot be read: ${state.join('\n')}`);
    const isRefused = statuses.length > 0 && statuses.every((status) => status >= 400);
    if (isRefused && state.join('\n') !== this.state.join('\n')) {
      throw new Error(
        `it was refused, and something changed\n  answered: ${text}\n  before:   ${this.state.join('\n            ')}\n  after:    ${state.join('\n            ')}`,
      );
    }
    this.state = state;
    if (!statuses.some((status) => status >= 200)) {
      // what got no answer may still happen, so its user has no known state any more
      this.user = this.server.users.newUser();
      this.last = 3;
      await this.prepare();
    } else if (statuses.includes(200) && input.method === 'POST') {
      this.last += 1;
      this.state = await this.server.stateOf(this.user, this.last);
    }
  }

  protected compare(): Promise<void> {
    return Promise.resolve();
  }
}

const KEY =
  '{"first_message_index":1,"forwarded_count":1,"is_verified":false,"session_data":{"x":"y"}}';
const BACKUP = `{"algorithm":"${ALGORITHM}","auth_data":{"at first":0}}`;
/** What each user has at first: two backups, and keys in the newer one. */
export const FIRST: readonly (readonly [method: string, path: string, body: string])[] = [
  ['POST', 'version', BACKUP],
  ['POST', 'version', BACKUP],
  [
    'PUT',
    'keys?version=2',
    `{"rooms":{"!room:hs1":{"sessions":{"session":${KEY},"__proto__":${KEY}}},"__proto__":{"sessions":{"session":${KEY}}}}}`,
  ],
];

/** JSON that can stand in a source file: what is long is mostly one character, again and again. */
export const asSource = (value: unknown) =>
  JSON.stringify(value).replaceAll(
    /(\\u[0-9a-f]{4}|[^"\\])\1{99,}/g,
    (run, one: string) => `" + "${one}".repeat(${run.length / one.length}) + "`,
  );

/** An operation that reads its body waits for the end of it, where it is wrong at the latest. */
const mustBeRefused = ({ method, framing, edits }: Input) =>
  typeof framing === 'object' &&
  framing.isWrong === true &&
  edits.length === 0 &&
  ['PUT', 'POST'].includes(method);

/** Sends bytes in so many pieces, each on its own. */
async function sendIn(connection: RawConnection, bytes: Buffer, pieces: number): Promise<void> {
  const size = Math.ceil(bytes.length / pieces) || 1;
  for (let at = 0; at < bytes.length && !connection.isAnswered; at += size) {
    await connection.send(bytes.subarray(at, at + size));
    if (pieces > 1) await new Promise(setImmediate);
  }
}

/** Waits until what was written is with the system: a reset throws away what is not. */
const whenSent = ({ socket }: RawConnection) =>
  new Promise<void>((resolve) => {
    socket.write('', () => resolve());
  });

const heard = ({ socket, isAnswered }: RawConnection) =>
  new Promise<void>((resolve) => {
    if (isAnswered || socket.destroyed) resolve();
    else socket.once('data', () => resolve()).once('close', () => resolve());
  });

async function withinReason(work: Promise<void>): Promise<void> {
  const given = new AbortController();
  const hangs = setTimeout(HANGS_MS, undefined, { signal: given.signal }).then(
    () => Promise.reject(new Error('there is no answer')),
    () => undefined,
  );
  try {
    await Promise.race([work, hangs]);
  } finally {
    given.abort();
  }
}

function errcodeOf(text: string): string {
  try {
    return String((JSON.parse(text) as { errcode?: unknown } | null)?.errcode);
  } catch {
    return 'no JSON';
  }
}

const leakIn = (text: string) => {
  const [found] = LEAKS.exec(text) ?? [];
  return found === undefined ? undefined : `it tells of ${JSON.stringify(found)}`;
};

/** What is wrong with answers, whatever they answer. */
function textFault(text: string, statuses: readonly number[]): string | undefined {
  if (statuses.some((status) => status >= 500)) return 'the server is at fault';
  for (const [, errcode = ''] of text.matchAll(/"errcode":"([^"]*)"/g)) {
    if (!ERRCODES.has(errcode)) return `the errcode ${errcode} is none of ours`;
  }
  return statuses.some((status) => status >= 400) ? leakIn(text) : undefined;
}
