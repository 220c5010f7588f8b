import { canonical, type Json, JsonObject, readJson } from './json-text.js';
import { ALGORITHM, type Call, etagFault, type Expected, Model } from './model.js';
import type { Encoding, Sequence, Step, VersionName } from './model.sequences.js';
import { type Wire, type WireAnswer } from './wire.js';

/** What a run of sequences came to, for the figures. */
export interface Tally {
  sequences: number;
  /** Requests of the sequences themselves. */
  requests: number;
  /** Requests among them that were to be refused. */
  refusals: number;
  /** Reads by which the whole state was compared after each of them. */
  reads: number;
}

export const newTally = (): Tally => ({ sequences: 0, requests: 0, refusals: 0, reads: 0 });

let usersMade = 0;

/** A step after which server and model are not the same. */
export class Difference extends Error {
  constructor(
    /** Those that led to it: what came after them does not matter. */
    readonly steps: readonly Step[],
    message: string,
  ) {
    super(message);
  }
}

/**
 * Sends a sequence to the server and to the model.
 *
 * @throws Difference
 */
export async function runSequence(wire: Wire, sequence: Sequence, tally: Tally): Promise<void> {
  await new Run(wire, sequence, tally).all();
  tally.sequences += 1;
}

type Closely = (user: string, version: string) => readonly string[];

class Run {
  private readonly model = new Model();
  /** Nobody had a backup before: users are new in each sequence. */
  private readonly users: readonly string[];

  constructor(
    private readonly wire: Wire,
    private readonly sequence: Sequence,
    private readonly tally: Tally,
  ) {
    this.users = sequence.backups.map(() => `model-${process.pid}-${usersMade++}`);
  }

  async all(): Promise<void> {
    const { backups, steps } = this.sequence;
    for (const [user, count] of backups.entries()) {
      for (let n = 0; n < count; n++) await this.step(createBackup(user, n));
    }
    for (const [index, step] of steps.entries()) {
      try {
        const changed = await this.step(step);
        const isLast = index + 1 === steps.length;
        const { rooms } = this.sequence;
        const inTurn = [rooms[index % rooms.length]!];
        await this.compareState((user, version) => {
          if (isLast) return rooms;
          return user === changed?.user && version === changed.version ? inTurn : [];
        });
      } catch (error) {
        const which = `step ${index + 1}, ${step.method} ${JSON.stringify(step.path)}`;
        throw new Difference(steps.slice(0, index + 1), `${which}: ${(error as Error).message}`);
      }
    }
  }

  /** @returns the backup that it was about, unless it was refused */
  private async step(step: Step): Promise<{ user: string; version: string } | undefined> {
    const user = typeof step.user === 'number' ? this.users[step.user]! : step.user;
    const call: Call = {
      user,
      method: step.method,
      path: step.path.map((segment) => this.segment(user, segment)),
      versions: step.versions.map((name) => this.version(user, name)),
      body: step.body === undefined ? undefined : this.body(user, step.body),
    };
    const expected = await this.exchange(call, step);
    this.tally.requests += 1;
    if (!('anyOf' in expected)) {
      const version = call.versions[0] ?? call.path[1] ?? String(this.model.lastVersion(user));
      return { user, version };
    }
    this.tally.refusals += 1;
    return undefined;
  }

  /**
   * Compares all that each user can read, by the reads that tell everything at once.
   *
   * @param closely the rooms of a backup that are read by themselves as well, with each of their keys
   */
  private async compareState(closely: Closely): Promise<void> {
    const reads = this.users.flatMap((user) => this.readsOf(user, closely));
    await Promise.all(reads.map((call) => this.exchange(call)));
    this.tally.reads += reads.length;
  }

  private readsOf(user: string, closely: Closely): Call[] {
    const { sessions } = this.sequence;
    const read = (path: string[], ...versions: string[]) => ({
      user,
      method: 'GET',
      path,
      versions,
    });
    // one more than there ever was
    const versions = Array.from({ length: this.model.lastVersion(user) + 1 }, (_, n) => `${n + 1}`);
    return [
      read(['version']),
      ...versions.flatMap((version) => [
        read(['version', version]),
        read(['keys'], version),
        ...closely(user, version).flatMap((room) => [
          read(['keys', encodeURIComponent(room)], version),
          ...sessions.map((session) =>
            read(['keys', ...[room, session].map(encodeURIComponent)], version),
          ),
        ]),
      ]),
    ];
  }

  private async exchange(call: Call, how: Partial<Step> = {}): Promise<Expected> {
    const expected = this.model.answer(call);
    const { path, headers } = onTheWire(call, how);
    const answer = await this.wire.send(call.method, path, headers, call.body);
    const fault = faultOf(answer, expected);
    if (fault) {
      const asked = `${call.method} ${path} of ${call.user}${call.body === undefined ? '' : ` with ${call.body}`}`;
      throw new Error(
        `${fault}\n  asked:    ${asked}\n  answered: ${answer.status} ${answer.text}\n  expected: ${describe(expected)}`,
      );
    }
    return expected;
  }

  private version(user: string, name: VersionName): string {
    if (typeof name === 'object') return name.text;
    const last = this.model.lastVersion(user);
    if (name === 'next') return String(last + 1);
    const current = this.model.current(user)?.version ?? Math.max(last, 1);
    if (name === 'current') return String(current);
    return String(this.model.current(user, -2)?.version ?? current);
  }

  private segment(user: string, segment: Step['path'][number]): string {
    if (typeof segment === 'string') return segment;
    if ('version' in segment) return encodeURIComponent(this.version(user, segment.version));
    const [id, known] =
      'room' in segment
        ? [segment.room, this.sequence.rooms]
        : [segment.session, this.sequence.sessions];
    return encode(typeof id === 'number' ? known[id % known.length]! : id, segment.encoded);
  }

  private body(user: string, text: string): string {
    const { rooms, sessions } = this.sequence;
    return text.replace(/"@(?:([rs])([0-9])|v)"/g, (_, kind?: string, place?: string) => {
      if (kind === undefined) return JSON.stringify(this.version(user, 'current'));
      const ids = kind === 'r' ? rooms : sessions;
      return JSON.stringify(ids[Number(place) % ids.length]);
    });
  }
}

const createBackup = (user: number, n: number): Step => ({
  user,
  token: 'header',
  prefix: 'v3',
  method: 'POST',
  path: ['version'],
  versions: [],
  body: `{"algorithm":"${ALGORITHM}","auth_data":{"at first":${n}}}`,
});

function onTheWire(
  { user, path, versions }: Call,
  { prefix = 'v3', device, token }: Partial<Step>,
) {
  const query = versions.map((version) => `version=${encodeURIComponent(version)}`);
  const tokens: Record<string, string | undefined> = {
    'no token': undefined,
    'unknown token': 'nobody',
    guest: 'guest-zoe',
  };
  const name = user in tokens ? tokens[user] : `${user}${device === undefined ? '' : `/${device}`}`;
  const headers: Record<string, string> = {};
  if (name !== undefined && token === 'query') {
    query.push(`access_token=${encodeURIComponent(name)}`);
  } else if (name !== undefined) headers.Authorization = `Bearer ${name}`;
  const target = `/_matrix/client/${prefix}/room_keys/${path.join('/')}`;
  return { path: query.length > 0 ? `${target}?${query.join('&')}` : target, headers };
}

function encode(id: string, how: Encoding): string {
  if (how === 'where needed') return encodeURIComponent(id);
  const every = [...Buffer.from(id)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`);
  return how === 'every byte' ? every.join('').toUpperCase() : every.join('');
}

/** What is wrong with an answer; undefined if nothing is. */
export function faultOf(answer: WireAnswer, expected: Expected): string | undefined {
  return headersFault(answer) ?? bodyFault(answer, expected);
}

const HEADERS = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
};

function headersFault({ headers }: WireAnswer): string | undefined {
  for (const [name, value] of Object.entries(HEADERS)) {
    if (headers[name] !== value) return `the header ${name} is ${String(headers[name])}`;
  }
  return undefined;
}

function bodyFault({ status, text }: WireAnswer, expected: Expected): string | undefined {
  const body = readJson(text);
  if ('anyOf' in expected) {
    const allowed = expected.anyOf.some((refusal) => {
      const { status: refused, ...rest } = refusal;
      return status === refused && isRefusal(body, rest);
    });
    return allowed ? undefined : 'it is not refused as it should be';
  }
  if (status !== expected.status) return 'the status is wrong';
  if (!expected.etag) return differs(body, expected.body);
  const etag = body instanceof JsonObject ? body.get('etag') : undefined;
  if (typeof etag !== 'string') return 'there is no etag';
  const members = (expected.body as JsonObject).members;
  return (
    differs(body, new JsonObject([...members, ['etag', etag]])) ?? etagFault(expected.etag, etag)
  );
}

/** `errcode`, a text, and nothing else but what belongs to the errcode. */
function isRefusal(body: Json, fields: Record<string, string>): boolean {
  const error = body instanceof JsonObject ? body.get('error') : undefined;
  if (typeof error !== 'string' || error === '') return false;
  const wanted = new JsonObject(Object.entries({ ...fields, error }));
  return canonical(body) === canonical(wanted);
}

const differs = (body: Json, expected: Json) =>
  canonical(body) === canonical(expected) ? undefined : 'the body is wrong';

export function describe(expected: Expected): string {
  if ('anyOf' in expected) return expected.anyOf.map((one) => JSON.stringify(one)).join(' or ');
  const etag = expected.etag
    ? ` and ${expected.etag.changed ? 'a new' : 'the same'} etag (so far ${expected.etag.backup.etags.join(', ')})`
    : '';
  return `${expected.status} ${canonical(expected.body)}${etag}`;
}
