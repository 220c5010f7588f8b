import { type BackupUnderTest, check, type Contestant, type RestoreTimes } from './contestant.js';
import { type Answer, type ClientOptions, HttpClient } from './http-client.js';
import { type Key, type KeySource } from './keys.js';
import { allRooms, pathOf, type WireKey, wireKey } from './wire.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';

/** A server with the key backup API: ours or another. Each user has a connection of its own. */
export class Homeserver<
  Side extends Exclude<Contestant['name'], 'floor'> = 'ours' | 'peer',
> implements Contestant {
  private readonly clients = new Map<number, HttpClient>();
  private readonly others: HttpClient[] = [];

  /**
   * @param url such as `http://127.0.0.1:8090`
   * @param tokens access tokens, of one user each
   */
  constructor(
    readonly name: Side,
    private readonly url: string,
    private readonly tokens: readonly string[],
  ) {}

  async createBackup(user: number): Promise<HomeserverBackup> {
    const client = this.client(user);
    const body = JSON.stringify({ algorithm: ALGORITHM, auth_data: { public_key: 'abc' } });
    const answer = await client.send('POST', '/version', Buffer.from(body));
    const { version } = json(answer) as { version: string };
    check(typeof version === 'string', () => `${this.name} created no backup`);
    return new HomeserverBackup(this.name, client, version);
  }

  close(): Promise<void> {
    for (const client of [...this.clients.values(), ...this.others]) client.close();
    return Promise.resolve();
  }

  /** Opens connections of a user that are separate from the one that the user's backups share. */
  connect(user: number, options: ClientOptions): HttpClient {
    const client = new HttpClient(this.url, this.token(user), options);
    this.others.push(client);
    return client;
  }

  private client(user: number): HttpClient {
    let client = this.clients.get(user);
    if (!client) {
      this.clients.set(user, (client = new HttpClient(this.url, this.token(user))));
    }
    return client;
  }

  private token(user: number): string {
    const token = this.tokens[user];
    if (token === undefined) throw new Error(`${this.name} has no access token for user ${user}`);
    return token;
  }
}

/** A backup at a homeserver. */
export class HomeserverBackup implements BackupUnderTest {
  private count = 0;
  private etag = '';

  constructor(
    private readonly server: string,
    /** The connection of its user. */
    readonly client: HttpClient,
    readonly version: string,
  ) {}

  async store(keys: readonly Key[], effect: 'added' | 'replaced' | 'none'): Promise<number> {
    const [only] = keys;
    const one = keys.length === 1 && only !== undefined;
    const body = Buffer.from(JSON.stringify(one ? wireKey(only) : allRooms(keys)));
    const path = one ? `/keys/${pathOf(only)}` : '/keys';
    const answer = await this.client.send('PUT', `${path}?version=${this.version}`, body);
    const state = json(answer) as { count: number; etag: string };
    if (effect === 'added') this.count += keys.length;
    check(
      state.count === this.count &&
        (state.etag === this.etag) === (effect === 'none' && this.etag !== ''),
      () => `${this.server} stored keys (${effect}) and says ${JSON.stringify(state)}`,
    );
    this.etag = state.etag;
    return answer.ms;
  }

  async readKey(key: Key): Promise<number> {
    const answer = await this.client.send('GET', `/keys/${pathOf(key)}?version=${this.version}`);
    this.checkKey(json(answer) as WireKey, key);
    return answer.ms;
  }

  async readRoom(keys: readonly Key[]): Promise<number> {
    const path = `/keys/${encodeURIComponent(keys[0]?.roomId ?? '')}?version=${this.version}`;
    const answer = await this.client.send('GET', path);
    const { sessions } = json(answer) as { sessions: Record<string, WireKey> };
    check(Object.keys(sessions).length === keys.length, () => `${this.server} lost keys of a room`);
    for (const key of keys) this.checkKey(sessions[key.sessionId], key);
    return answer.ms;
  }

  async readInformation(): Promise<number> {
    const answer = await this.client.send('GET', '/version');
    const { version, count, etag } = json(answer) as {
      version: string;
      count: number;
      etag: string;
    };
    check(
      version === this.version && count === this.count && etag === this.etag,
      () => `${this.server} says that there are ${count} keys, and not ${this.count}`,
    );
    return answer.ms;
  }

  async readAll(source: KeySource, better: number): Promise<RestoreTimes> {
    const answer = await this.client.send('GET', `/keys?version=${this.version}`);
    const { rooms } = json(answer) as {
      rooms: Record<string, { sessions: Record<string, WireKey> }>;
    };
    let found = 0;
    for (const { sessions } of Object.values(rooms)) found += Object.keys(sessions).length;
    check(found === this.count, () => `${this.server} returned ${found} of ${this.count} keys`);
    for (let n = 0; n < this.count; n++) {
      const key = source.key(n, n < better);
      this.checkKey(rooms[key.roomId]?.sessions[key.sessionId], key);
    }
    return { ms: answer.ms, firstByteMs: answer.firstByteMs };
  }

  /** Reads all keys without keeping them; checks how many they are. */
  async stream(
    bytesPerSecond?: number,
    client = this.client,
  ): Promise<RestoreTimes & { bytes: number }> {
    const counter = new Counter('"session_data":');
    const answer = await client.send('GET', `/keys?version=${this.version}`, undefined, {
      piece: (bytes) => {
        counter.add(bytes);
      },
      ...(bytesPerSecond !== undefined && { bytesPerSecond }),
    });
    check(
      answer.status === 200 && counter.count === this.count && counter.endsWith('}'),
      () => `${this.server} returned ${counter.count} of ${this.count} keys`,
    );
    return { ms: answer.ms, firstByteMs: answer.firstByteMs, bytes: counter.bytes };
  }

  async deleteKeys(): Promise<number> {
    const answer = await this.client.send('DELETE', `/keys?version=${this.version}`);
    const state = json(answer) as { count: number; etag: string };
    check(
      state.count === 0 && state.etag !== this.etag,
      () => `${this.server} deleted all keys and says ${JSON.stringify(state)}`,
    );
    this.count = 0;
    this.etag = state.etag;
    const { rooms } = json(await this.client.send('GET', `/keys?version=${this.version}`)) as {
      rooms: object;
    };
    check(Object.keys(rooms).length === 0, () => `${this.server} still returns deleted keys`);
    return answer.ms;
  }

  /** @param keys all that the room holds */
  async deleteRoom(keys: readonly Key[]): Promise<number> {
    const roomId = encodeURIComponent(keys[0]?.roomId ?? '');
    const answer = await this.client.send('DELETE', `/keys/${roomId}?version=${this.version}`);
    const state = json(answer) as { count: number; etag: string };
    this.count -= keys.length;
    check(
      state.count === this.count && state.etag !== this.etag,
      () => `${this.server} deleted a room and says ${JSON.stringify(state)}`,
    );
    this.etag = state.etag;
    return answer.ms;
  }

  async delete(): Promise<number> {
    const answer = await this.client.send('DELETE', `/version/${this.version}`);
    json(answer);
    const { status } = await this.client.send('GET', `/keys?version=${this.version}`);
    check(status === 404, () => `${this.server} still knows a deleted backup`);
    return answer.ms;
  }

  private checkKey(found: WireKey | undefined, { firstMessageIndex, sessionData }: Key): void {
    check(
      found?.first_message_index === firstMessageIndex &&
        found.session_data.ciphertext === sessionData.ciphertext &&
        found.session_data.mac === sessionData.mac,
      () => `${this.server} returned another key than the one that was stored`,
    );
  }
}

function json({ status, body }: Answer): unknown {
  const text = Buffer.concat(body).toString('utf8');
  check(status === 200, () => `status ${status}, ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

/** Counts a text in bytes that come in pieces. */
class Counter {
  count = 0;
  bytes = 0;
  private end = Buffer.alloc(0);

  constructor(private readonly text: string) {}

  add(piece: Buffer): void {
    this.bytes += piece.length;
    this.count += occurrences(piece, this.text);
    // those that lie across the seam, but not the ones counted before
    const overlap = this.text.length - 1;
    const seam = Buffer.concat([this.end, piece.subarray(0, overlap)]);
    if (this.end.length > 0) this.count += occurrences(seam, this.text);
    this.end = Buffer.concat([this.end, piece.subarray(-overlap)]).subarray(-overlap);
  }

  endsWith(text: string): boolean {
    return this.end.toString('latin1').endsWith(text);
  }
}

function occurrences(bytes: Buffer, text: string): number {
  let count = 0;
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + text.length)) count++;
  return count;
}
