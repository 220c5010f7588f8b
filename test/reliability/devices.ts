import { keyPath, roomsBody } from '../support/matrix-client.js';
import {
  backupAnswer,
  contentAnswer,
  createdAnswer,
  type HistoryEvent,
  keyIdOf,
  keysAnswer,
  type MarkedKey,
  NOT_THERE,
  type Operation,
  type KeyPath,
  type UploadedKey,
  type UserState,
  wrongVersionAnswer,
} from './history.js';
import type { Random } from './random.js';
import type { Wire } from './wire.js';
import { type WireAnswer } from './wire.js';

const PREFIX = '/_matrix/client/v3/room_keys';
const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
/** A response that takes longer will not arrive: the request hangs. */
const HANGS_MS = 240_000;
/** How many backups, the newest and those before it, devices ask for. */
const RECENT = 5;

/** What one user's devices do, to whatever servers, and the history of it. */
export class Devices {
  /** The requests and responses since they were last taken. */
  history: HistoryEvent[] = [];
  /** Answers of 500 and above, in the order in which they came. */
  readonly failures: WireAnswer[] = [];
  /** Requests that no server took: they were never sent. */
  unsent = 0;
  private clock = 0;
  private marks = 0;
  /** The highest version that a device knows. */
  private newest = 0;

  /**
   * @param user whose they are; also the access token
   * @param servers where requests go, each to any of them
   * @param rooms how many rooms there are, each of `sessions` sessions
   */
  constructor(
    readonly user: string,
    private readonly servers: () => readonly Wire[],
    private readonly random: Random,
    private readonly extent: { rooms: number; sessions: number; largestUpload: number },
  ) {}

  /** One device at work until `goesOn` says no. */
  async device(goesOn: () => boolean): Promise<void> {
    while (goesOn()) await this.perform(this.anyOperation());
  }

  /**
   * Reads all that may be there, which tells what state the user's backups are in.
   *
   * @param before what was there before anything of the present history
   */
  async readAll({ lastVersion, backups }: UserState): Promise<void> {
    await this.perform({ kind: 'read backup' });
    const versions = [...backups.keys()];
    for (let n = lastVersion + 1; n <= this.newest + 1; n += 1) versions.push(n);
    for (const version of versions) {
      await this.perform({ kind: 'read backup', version });
      await this.perform({ kind: 'read keys', version });
    }
  }

  /** Deletes what no device asks for any more, so that there is not more and more. */
  async tidyUp({ backups }: UserState): Promise<void> {
    for (const version of backups.keys()) {
      if (version <= this.newest - RECENT) await this.perform({ kind: 'delete backup', version });
    }
  }

  /** Asks for one operation and writes down what came of it. */
  async perform(operation: Operation): Promise<void> {
    const server = this.random.of(this.servers());
    const { method, path, body } = requestFor(operation);
    const headers = { Authorization: `Bearer ${this.user}` };
    const event = { operation, invoked: ++this.clock, answered: Infinity, answer: undefined };
    const writes = !operation.kind.startsWith('read');
    try {
      const answer = await withinReason(
        server.send(method, PREFIX + path, headers, body && JSON.stringify(body)),
        `${method} ${path}`,
      );
      if (answer.status >= 500) {
        this.failures.push(answer);
        if (writes) this.history.push(event);
        return;
      }
      const told = { ...event, answered: ++this.clock, answer: answerOf(operation, answer) };
      this.history.push(told);
      const [, version = '0'] = /^version (\d+)/.exec(told.answer) ?? [];
      this.newest = Math.max(this.newest, Number(version));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'HANGS' || code === undefined) throw error;
      if (code === 'ECONNREFUSED') this.unsent += 1;
      else if (writes) this.history.push(event);
    }
  }

  private anyOperation(): Operation {
    const { random } = this;
    if (this.newest === 0) return { kind: 'create backup', mark: this.newMark() };
    const version = this.anyVersion();
    const any = random.below(1000);
    if (any < 500) return { kind: 'put keys', ...this.anyUpload() };
    if (any < 560) return { kind: 'put keys', ...this.anyUpload(), version };
    if (any < 620) return { kind: 'delete keys', version, ...this.anyKey() };
    if (any < 660) return { kind: 'delete keys', version, room: this.anyKey().room };
    if (any < 680) return { kind: 'delete keys', version };
    if (any < 700) return { kind: 'create backup', mark: this.newMark() };
    if (any < 715) return { kind: 'delete backup', version };
    if (any < 745) return { kind: 'update backup', version, mark: this.newMark() };
    if (any < 830) return { kind: 'read backup' };
    if (any < 860) return { kind: 'read backup', version };
    if (any < 920) return { kind: 'read keys', version };
    if (any < 960) return { kind: 'read keys', version, room: this.anyKey().room };
    return { kind: 'read keys', version, ...this.anyKey() };
  }

  /** Mostly the newest that is known; now and then an older one, or one that never was. */
  private anyVersion(): number {
    const any = this.random.below(20);
    if (any === 0) return this.newest + 100;
    return any < 6 ? Math.max(1, this.newest - this.random.below(RECENT)) : this.newest;
  }

  private anyKey() {
    const { rooms, sessions } = this.extent;
    return {
      room: `!room${this.random.below(rooms)}:hs1`,
      session: `session${this.random.below(sessions)}`,
    };
  }

  private anyUpload(): KeyPath & { keys: UploadedKey[] } {
    const { random, newest: version } = this;
    const where = this.anyKey();
    const shape = random.below(10);
    if (shape === 0) return { version, ...where, keys: [this.keyFor(where)] };
    const room = shape < 3 ? where.room : undefined;
    const keys = new Map<string, UploadedKey>();
    for (let count = 1 + random.below(this.extent.largestUpload); count > 0; count -= 1) {
      const key = this.keyFor({ ...this.anyKey(), ...(room === undefined ? {} : { room }) });
      keys.set(keyIdOf(key), key);
    }
    return { version, room, keys: [...keys.values()] };
  }

  /** Few ranks, so that better, worse and equal ones all meet. */
  private keyFor(id: { room: string; session: string }): UploadedKey {
    const { random } = this;
    return {
      ...id,
      verified: random.below(4) === 0,
      index: random.below(4),
      forwarded: random.below(3),
      mark: this.newMark(),
    };
  }

  private newMark(): string {
    return `${this.user}-${++this.marks}`;
  }
}

async function withinReason<T>(answer: Promise<T>, request: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error(`No answer to ${request}`), { code: 'HANGS' }));
    }, HANGS_MS);
  });
  return Promise.race([answer, hangs]).finally(() => {
    clearTimeout(timer);
  });
}

// --- to and from the wire -------------------------------------------------------------------------

function requestFor(operation: Operation): { method: string; path: string; body?: object } {
  switch (operation.kind) {
    case 'create backup':
      return { method: 'POST', path: '/version', body: information(operation.mark) };
    case 'update backup':
      return {
        method: 'PUT',
        path: `/version/${operation.version}`,
        body: information(operation.mark),
      };
    case 'delete backup':
      return { method: 'DELETE', path: `/version/${operation.version}` };
    case 'read backup': {
      const { version } = operation;
      return { method: 'GET', path: version === undefined ? '/version' : `/version/${version}` };
    }
    case 'put keys':
      return { method: 'PUT', path: pathOf(operation), body: bodyOf(operation) };
    case 'delete keys':
      return { method: 'DELETE', path: pathOf(operation) };
    case 'read keys':
      return { method: 'GET', path: pathOf(operation) };
  }
}

const information = (mark: string) => ({ algorithm: ALGORITHM, auth_data: { mark } });

const pathOf = ({ version, room, session }: KeyPath) =>
  `${room === undefined ? '/keys' : keyPath(room, session)}?version=${version}`;

function bodyOf({ room, session, keys }: KeyPath & { keys: readonly UploadedKey[] }): object {
  const { rooms } = roomsBody(keys.map((key) => [key.room, key.session, keyBody(key)] as const));
  if (room === undefined) return { rooms };
  const { sessions } = rooms[room] as { sessions: Record<string, object> };
  return session === undefined ? { sessions } : sessions[session]!;
}

const keyBody = ({ verified, index, forwarded, mark }: MarkedKey) => ({
  is_verified: verified,
  first_message_index: index,
  forwarded_count: forwarded,
  session_data: { mark },
});

interface KeyBody {
  is_verified: boolean;
  first_message_index: number;
  forwarded_count: number;
  session_data: { mark: string };
}

function answerOf(operation: Operation, { status, text }: WireAnswer): string {
  const body = JSON.parse(text) as Record<string, unknown>;
  if (status === 404 && body.errcode === 'M_NOT_FOUND') return NOT_THERE;
  if (status === 403 && body.errcode === 'M_WRONG_ROOM_KEYS_VERSION') {
    return wrongVersionAnswer(body.current_version as string);
  }
  if (status !== 200) return `${status} ${text}`;
  switch (operation.kind) {
    case 'create backup':
      return createdAnswer(body.version as string);
    case 'read backup': {
      const { version, count, etag, auth_data } = body;
      return backupAnswer(
        version as string,
        count as number,
        etag as string,
        (auth_data as { mark: string }).mark,
      );
    }
    case 'update backup':
    case 'delete backup':
      return text === '{}' ? '' : text;
    case 'put keys':
    case 'delete keys':
      return keysAnswer(body.count as number, body.etag as string);
    case 'read keys':
      return contentAnswer([...keysIn(body, operation)]);
  }
}

function* keysIn(body: object, { room, session }: KeyPath): Generator<[string, MarkedKey]> {
  const sessions = (inRoom: string, found: object): [string, MarkedKey][] =>
    Object.entries((found as { sessions: Record<string, KeyBody> }).sessions).map(([id, key]) => [
      keyIdOf({ room: inRoom, session: id }),
      markedKey(key),
    ]);
  if (room === undefined) {
    const { rooms } = body as { rooms: Record<string, object> };
    for (const [id, found] of Object.entries(rooms)) yield* sessions(id, found);
  } else if (session === undefined) yield* sessions(room, body);
  else yield [keyIdOf({ room, session }), markedKey(body as KeyBody)];
}

const markedKey = (body: KeyBody): MarkedKey => ({
  verified: body.is_verified,
  index: body.first_message_index,
  forwarded: body.forwarded_count,
  mark: body.session_data.mark,
});
